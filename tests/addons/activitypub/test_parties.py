import pytest

from addons.activitypub.keys import Keys
from addons.activitypub.parsing import Repeated
from addons.activitypub.parties import Parties, name_parties, reference, values

A, B, C, D = (f"https://a.example/{name}" for name in "abcd")


@pytest.mark.parametrize(
    ("document", "parties"),
    [
        ({}, Parties()),
        ({"type": "Like", "id": A, "actor": B, "object": C}, Parties(("Like",), A, B, C)),
        ({"type": "Note", "id": A, "attributedTo": B}, Parties(("Note",), A, B, A)),
        (
            {
                "type": "Announce",
                "id": A,
                "actor": B,
                "object": {"type": "Create", "actor": C, "object": {"type": "Note", "id": D}},
            },
            Parties(("Announce", "Create", "Note"), A, B, D),
        ),
        (
            {"type": ["Create", "x:Add"], "actor": {"id": B}, "object": {"type": "Note"}},
            Parties(("Create", "Add", "Note"), None, B),
        ),
        ({"actor": [{"type": "Person"}, {"@id": B}, C], "object": [C, D]}, Parties((), None, B, C)),
        (
            {"actor": Repeated((B, C)), "type": Repeated(("Like", "Note")), "id": Repeated((A, None))},
            Parties(("Like", "Note"), None, C),
        ),
        ([1, {"type": "Like", "id": A}, {"type": "Create", "id": B}], Parties(("Like", "Create"), A, None, A)),
        (
            {"type": "Collection", "id": A, "items": [{"type": "Like", "actor": B}, C]},
            Parties(("Collection", "Like"), A, None, A),
        ),
        (
            {"@type": "https://www.w3.org/ns/activitystreams#Like", "as:actor": {"@list": [B]}},
            Parties(("Like",), None, B),
        ),
        ({"type": 1, "id": 2, "actor": 3, "object": 4}, Parties()),
        ("x", Parties()),
        (None, Parties()),
    ],
)
def test_parties(document: object, parties: Parties) -> None:
    assert name_parties(document, Keys(), 64) == parties


def test_types_are_bounded() -> None:
    assert len(name_parties([{"type": f"T{n}"} for n in range(64)], Keys(), 64).types) == 64
    assert len(name_parties([{"type": [f"T{n}" for n in range(65)]}], Keys(), 64).types) == 64
    many = [{"type": f"T{n}"} for n in range(65)]
    assert name_parties(many, Keys(), 64).types[-1] == "T63"


def test_depth_is_bounded() -> None:
    document: dict[str, object] = {"type": "T2", "id": B}
    document = {"type": "T1", "object": {"type": "X", "object": document}}
    assert name_parties(document, Keys(), 2).types == ("T1", "X")
    assert name_parties(document, Keys(), 3) == Parties(("T1", "X", "T2"), None, None, B)


def test_values_and_references() -> None:
    assert list(values([1, [None, Repeated((2, {"@value": 3}))], {"@set": [4]}])) == [1, 2, 3, 4]
    assert reference([{"x": 1}, "", A], Keys()) == A
    assert reference("https://a.example/\ud800", Keys()) == "https://a.example/?"
