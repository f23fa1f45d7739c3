"""From the configuration's ``alarms:`` to where alarms go."""

from collections.abc import Iterator

from addons.alarms.mail import Mail, MailSettings
from addons.alarms.posting import Ntfy, Posts, Webhook
from addons.alarms.sending import Target
from addons.policy.status_sections import Alarms, Email


def targets(settings: Alarms) -> Iterator[Target]:
    """Each of them, in the file's order."""
    for to in settings.to:
        if to.webhook is not None:
            yield Webhook(Posts(to.webhook), to.secret)
        elif to.ntfy is not None:
            yield Ntfy(Posts(to.ntfy), to.token)
        elif to.email is not None:
            yield Mail(_mail(to.email))


def _mail(email: Email) -> MailSettings:
    return MailSettings(
        host=email.smtp.host,
        port=email.smtp.port,
        sender=email.sender,
        to=email.to,
        user=email.user,
        password=email.password,
        tls=email.tls,
    )
