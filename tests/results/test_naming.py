from __future__ import annotations

from results.naming import block_order, block_title, method_order, slug
from search_spaces.cell import Cell


def test_methods_come_in_the_papers_order_then_as_asked_then_by_name():
    methods = ["zeta", "flyp", "alpha", "lp", "zeroshot", "mine", "lpft", "l2sp", "ft"]
    assert sorted(methods, key=lambda method: method_order(method, ["mine"])) == [
        "zeroshot", "lp", "ft", "l2sp", "lpft", "flyp", "mine", "alpha", "zeta"
    ]  # fmt: skip


def test_shots_rise_and_the_whole_training_split_is_last():
    cells = [Cell("d", "m", shots, "ft") for shots in (None, 32, 4)]
    assert [cell.shots for cell in sorted(cells, key=block_order)] == [4, 32, None]


def test_titles():
    assert block_title("digits", "ViT", 4) == "digits, ViT, 4-shot"
    assert block_title("digits", "ViT", None) == "digits, ViT"


def test_slugs_hold_nothing_that_a_path_or_a_label_would_read():
    assert (
        slug("frontier", "my set/../x", "hf-hub:laion/CLIP_B", "4-shot")
        == "frontier-my-set-..-x-hf-hub-laion-CLIP-B-4-shot"
    )
    assert "/" not in slug("../../etc", "a\\b")
