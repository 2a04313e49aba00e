"""first-deployment: a project from nothing to its public addresses."""

from itertools import cycle, islice

from reconciler.sandbox.scenarios.play import Play, Scenario


async def play(play: Play) -> None:
    """Set up one project or two, then deploy to their environments in turn; one environment's requests queue."""
    samples = play.samples()[: play.operations]
    for sample in samples:
        await play.initialize(sample)
    places = [(sample.name, site.name) for sample in samples for site in sample.sites]
    for project, environment in islice(cycle(places), play.operations - len(samples)):
        await play.deploy(project, environment)
    for request in play.sent:
        play.expect_end(await play.ended(request), "Succeeded")


FIRST_DEPLOYMENT = Scenario(
    "first-deployment",
    "A project with two components is set up and deployed to two environments.",
    play,
    operations=3,
)
