from addons.alarms.mail import Mail
from addons.alarms.posting import Ntfy, Webhook
from addons.alarms.targets import targets
from addons.policy.status_sections import Alarms
from tests import net
from tests.addons.alarms.receiving import alarm, hook, post


async def test_each_way_from_the_configuration() -> None:
    async with hook(net.OK) as (port, got), post() as server:
        email = {"smtp": f"127.0.0.1:{server.port}", "from": "f@example.org", "to": "a@example.org", "tls": "none"}
        found = list(
            targets(
                Alarms.model_validate(
                    {
                        "to": [
                            {"webhook": f"http://127.0.0.1:{port}/hook", "secret": "hush"},
                            {"ntfy": f"http://127.0.0.1:{port}/topic", "token": "tk_abc"},
                            {"email": email | {"user": "me", "password": "hush"}},
                        ]
                    }
                )
            )
        )
        for one in found:
            await one.send(alarm())
            await one.close()
    assert [type(one) for one in found] == [Webhook, Ntfy, Mail]
    assert got[0].header(b"X-Fediward-Signature") is not None
    assert got[1].header(b"Authorization") == b"Bearer tk_abc"
    assert (len(server.mails), server.logins) == (1, ["\0me\0hush"])


def test_none_is_the_default() -> None:
    assert list(targets(Alarms())) == []
