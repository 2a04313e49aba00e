from pathlib import Path

from click.testing import CliRunner

from reconciler.cli.crds import crds
from reconciler.cli.docs import docs
from reconciler.cli.resource_pages import MARK, page
from reconciler.domain.resources import KINDS

ROOT = Path(__file__).parents[3]


def test_committed_crds_are_fresh() -> None:
    outcome = CliRunner().invoke(crds, ["--check", "--file", str(ROOT / "deploy/crds.yaml")])
    assert outcome.exit_code == 0, outcome.output


def test_committed_pages_are_fresh() -> None:
    outcome = CliRunner().invoke(docs, ["resources", "--check", "--folder", str(ROOT / "docs/reference")])
    assert outcome.exit_code == 0, outcome.output


def test_a_stale_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    stale = tmp_path / "crds.yaml"
    stale.write_text("old")
    outcome = CliRunner().invoke(crds, ["--check", "--file", str(stale)])
    assert outcome.exit_code == 1
    assert str(stale) in outcome.output
    assert "reconciler crds --write" in outcome.output


def test_written_files_are_fresh(tmp_path: Path) -> None:
    file = ["--file", str(tmp_path / "crds.yaml")]
    assert CliRunner().invoke(crds, ["--write", *file]).exit_code == 0
    assert CliRunner().invoke(crds, ["--check", *file]).exit_code == 0


def test_what_is_written_by_hand_above_the_mark_is_kept() -> None:
    old = f"# Title\n\nBy hand.\n\n{MARK}\n\nold"
    new = page(KINDS[0], old)
    assert new.startswith("# Title\n\nBy hand.\n\n")
    assert not new.endswith("old")


def test_pages_tell_bounds_defaults_and_what_is_required() -> None:
    text = page(next(kind for kind in KINDS if kind.kind == "DNSZone"))
    assert "| `domain` | string, at most 253 characters | required |" in text
    assert "| `defaultTTL` | integer, 600 to 86400 | `600` | Seconds. |" in text
