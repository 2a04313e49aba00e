"""Kubernetes' API: credentials, and our own calls on aiohttp.

Kopf and this client share `Credentials`, not a session: Kopf closes the session it was given whenever it authenticates
anew, and its endless watches would take places in a shared connection bound. So each gets a session of its own from
`Credentials.open_session()`, with a bounded connector, and each request is authorized as it is sent: a rotated token
file is used at once by both, and nothing has to be handed over.

    credentials   where the server is and who we are: kubeconfig or service account
    refusals      the one place where an answer of the server becomes an error of `domain.errors`
    client        one method per request
    round_trip    whether the server tells of a change, asked afresh
"""

from reconciler.clients.kubernetes.client import Call, Kubernetes
from reconciler.clients.kubernetes.credentials import Credentials
from reconciler.clients.kubernetes.round_trip import change_and_hear

__all__ = ["Call", "Credentials", "Kubernetes", "change_and_hear"]
