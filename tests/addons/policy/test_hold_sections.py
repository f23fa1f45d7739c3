import pytest
from pydantic import ValidationError

from addons.policy.hold_sections import Senders


def test_one_list_need_not_stand_in_brackets() -> None:
    assert Senders.model_validate({"deny": "a.csv"}) == Senders.model_validate({"deny": ["a.csv"]})


@pytest.mark.parametrize("key", ["deny", "allow"])
def test_the_number_of_lists_is_bounded(key: str) -> None:
    Senders.model_validate({key: ["a.csv"] * 100})
    with pytest.raises(ValidationError):
        Senders.model_validate({key: ["a.csv"] * 101})


def test_weights_are_of_hosts_in_their_one_form() -> None:
    assert Senders.model_validate({"weights": {"*.BÜCHER.example.": 1, "b.example": 100}}).weights == {
        "*.xn--bcher-kva.example": 1,
        "b.example": 100,
    }


@pytest.mark.parametrize("weight", [0, 101, 1.5, True, "x"])
def test_weights_are_bounded(weight: object) -> None:
    with pytest.raises(ValidationError):
        Senders.model_validate({"weights": {"a.example": weight}})


def test_the_number_of_weights_is_bounded() -> None:
    hosts = {f"h{number}.example": 1 for number in range(1000)}
    assert len(Senders.model_validate({"weights": hosts}).weights) == 1000
    with pytest.raises(ValidationError):
        Senders.model_validate({"weights": hosts | {"more.example": 1}})
