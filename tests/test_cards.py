import pytest

from aritmo.cards import CARDS, card_named, find_card


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("h100", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("A100 80 GB", "A100 80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla V100-SXM2-32GB", "V100 32GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("GTX 1080", None),
        ("RTX", None),
        ("", None),
    ],
)
def test_cards_are_found_as_people_and_drivers_write_them(name: str, card: str | None) -> None:
    found = find_card(name)
    assert (found.name if found else None) == card


def test_every_card_is_found_by_its_own_name_and_is_possible() -> None:
    for card in CARDS:
        assert card_named(card.name) is card
        assert 10 < card.memory < 300
        assert 50 < card.teraflops < 3000
        assert card.bf16 or not card.fp8


def test_an_unknown_card_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"gpu: 'GTX 1080' is no card known here .*H100.* give its memory"):
        card_named("GTX 1080")
