from __future__ import annotations

from flyp_sweep.results.naming import block_order, block_title, method_label, method_order, slug
from flyp_sweep.search_spaces.cell import Cell


def test_methods_come_in_the_papers_order_then_as_asked_then_by_name():
    methods = ["zeta", "flyp", "alpha", "lp", "zeroshot", "mine", "lpft", "l2sp", "ft"]
    assert sorted(methods, key=lambda method: method_order(method, ["mine"])) == [
        "zeroshot", "lp", "ft", "l2sp", "lpft", "flyp", "mine", "alpha", "zeta"
    ]  # fmt: skip


def test_ensembles_are_named_and_stand_after_their_method_as_asked_then_by_name():
    names = ["flyp+logit_ensemble", "flyp_ce", "mine+greedy_soup", "ft", "flyp+greedy_soup", "mine", "flyp", "zeroshot"]
    names += ["flyp+a:B", "flyp+uniform_soup"]
    asked = ["mine", "mine+uniform_soup", "mine+greedy_soup", "flyp_ce"]
    assert sorted(names, key=lambda name: method_order(name, asked)) == [
        *("zeroshot", "ft", "flyp", "flyp+uniform_soup", "flyp+greedy_soup", "flyp+a:B", "flyp+logit_ensemble"),
        *("mine", "mine+greedy_soup", "flyp_ce"),
    ]
    unknown = ["zeta", "alpha+uniform_soup", "alpha+greedy_soup", "alpha"]
    assert sorted(unknown, key=method_order) == ["alpha", "alpha+greedy_soup", "alpha+uniform_soup", "zeta"]
    labels = [
        method_label(name, {}) for name in ("flyp+greedy_soup", "l2sp+logit_ensemble", "my.module:Mine+uniform_soup")
    ]
    assert labels == ["FLYP greedy soup", "L2-SP logit ensemble", "my.module:Mine uniform soup"]
    recorded = {"my.module:Mine": "Mine", "ft+greedy_soup": "Soup of FT"}
    labels = [
        method_label(name, recorded) for name in ("my.module:Mine", "my.module:Mine+uniform_soup", "ft+greedy_soup")
    ]
    assert labels == ["Mine", "Mine uniform soup", "Soup of FT"]


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
