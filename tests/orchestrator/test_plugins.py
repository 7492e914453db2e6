"""A package of somebody else's brings a method and a data set, and takes part in a sweep."""

from __future__ import annotations

from commands import run, trials
from packages import install, install_outside

SPACE = """
name: outside
dataset: upright
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, distilled]
train: {epochs: 1, batch_size: 20, warmup_steps: 0}
search: {algorithm: random, num_samples: 1, space: {lr: 1.0e-4, weight_decay: 0.0}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


def test_its_method_and_data_set_run_like_any_other(tmp_path):
    site = tmp_path / "site"
    install_outside(site)
    (tmp_path / "outside.yaml").write_text(SPACE)
    code, output = run("run", "outside.yaml", cwd=tmp_path, path=site)
    assert code == 0, output
    done = trials(tmp_path / "runs" / "outside")
    assert {(one["cell"]["dataset"], one["cell"]["method"], one["status"]) for one in done} == {
        ("upright", "zeroshot", "done"),
        ("upright", "distilled", "done"),
    }
    assert all("pull" in one["hparams"] for one in done if one["cell"]["method"] == "distilled")
    assert "distilled" in run("table", "runs/outside", cwd=tmp_path, path=site)[1]
    listed = run("list", "methods", cwd=tmp_path, path=site)[1]
    assert "plus pull * squared distance to the pretrained features (robust-things 1.0)" in listed
    install(site, "other-things", {"flyp_sweep.datasets": {"digits": "upright:Upright"}})
    code, output = run("list", "datasets", cwd=tmp_path, path=site)
    assert (code, len(output.splitlines())) == (2, 1)
    assert "found 'digits' in flyp-sweep itself and in other-things 1.0; expected every name once" in output
