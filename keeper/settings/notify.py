"""Who is told of critical decisions where no Alertmanager is: one section for each webhook."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PlainValidator, SecretStr

from keeper.settings import values
from keeper.settings.section import Section, key

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
"""Where PagerDuty takes events, unless the section names another place (the EU's)."""


class NotifySettings(Section):
    """A webhook. Its URL is a secret: who has it can write there."""

    url: Annotated[SecretStr | None, PlainValidator(values.webhook)] = key(
        "where it is posted; better from KEEPER__NOTIFY__<NAME>__URL_FILE", "secret", "(from a file)", None
    )
    format: Literal["generic", "slack", "pagerduty"] = key("what the body looks like", "name", '"slack"')
    routing_key: Annotated[SecretStr | None, PlainValidator(values.secret)] = key(
        "the integration key; better from KEEPER__NOTIFY__<NAME>__ROUTING_KEY_FILE", "secret", "(from a file)", None
    )
    severity_min: Literal["critical", "warning"] = key("the least that is told", "name", '"warning"', "critical")

    @property
    def target(self) -> SecretStr | None:
        """Return the URL, or the one that the format implies."""
        return SecretStr(PAGERDUTY_URL) if self.url is None and self.format == "pagerduty" else self.url

    def without_secrets(self) -> NotifySettings:
        """Return the section without its secrets."""
        return self.model_copy(update={"url": None, "routing_key": None})
