"""Where weights are: what open_clip will ask for, what the cache holds, and what is said where there is no network."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import open_clip
import pytest
import refusal
import torch
from huggingface_hub import constants, get_session
from open_clip import pretrained as tags
from safetensors.torch import save_file
from tiny_clip import TINY, archive, some_clip

from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.models import pretrained, weights
from flyp_sweep.trainers.models.digits_clip import ARCH, CHECKPOINT

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub that nothing listens for: connections are refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return use_hub(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)


def use_hub(address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What HF_ENDPOINT does before huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    return address


@pytest.fixture(scope="session")
def _tiny_config(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An architecture of a few thousand parameters beside its vocabulary, known to open_clip."""
    config = tmp_path_factory.mktemp("configs") / "tiny-clip.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)


@pytest.fixture
def tiny(_tiny_config: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """Gives `tiny-clip` a tag `here` in the repository org/tiny, as open_clip's own table does."""

    def with_tag(**more: Any) -> Model:
        entry = {"here": tags._pcfg(hf_hub="org/tiny/", mean=(0.1, 0.2, 0.3), **more)}
        monkeypatch.setitem(tags._PRETRAINED, "tiny-clip", entry)
        return Model(arch="tiny-clip", pretrained="here")

    return with_tag


def put(cache: Path, repo: str, name: str) -> Path:
    """Where a file lies in the hub's cache: a snapshot of the commit that `main` refers to."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True, exist_ok=True)
    return folder / "snapshots" / COMMIT / name


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def seen(clip: Any) -> torch.Tensor:
    """Embeddings of one image and one text: they depend on the activation, which the weights do not show."""
    image = torch.linspace(-2, 2, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.no_grad():
        return torch.cat([clip.encode_image(image), clip.encode_text(open_clip.tokenize(["a photo of a 3"]))])


def refused(model: Model, *words: str) -> str:
    return refusal.refused(lambda: pretrained.load(model, CPU), *words)


class Asked(Exception):
    """Of the hub, by open_clip."""


def asked_by_open_clip(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The repositories and files that open_clip itself asks huggingface_hub for, in its order."""
    found: list[tuple[str, str]] = []

    def download(repo_id: str, filename: str, **_: Any) -> str:
        found.append((repo_id, filename))
        if filename != "open_clip_config.json":
            raise Asked
        path = Path(constants.HF_HUB_CACHE).parent / "config.json"
        path.write_text(json.dumps({"model_cfg": TINY}))
        return str(path)

    monkeypatch.setattr(tags, "hf_hub_download", download)
    if model.arch.startswith("hf-hub:"):
        with pytest.raises(RuntimeError):
            open_clip.create_model(model.arch, require_pretrained=True)
    else:
        with pytest.raises(FileNotFoundError):
            tags.download_pretrained(tags.get_pretrained_cfg(model.arch, str(model.pretrained)))
    return found


def test_open_clip_asks_for_what_is_wanted_of_every_tag_it_has_and_of_a_hub_id(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [Model(arch=arch, pretrained=tag) for arch, tag in open_clip.list_pretrained()]
    assert {("ViT-B-16", "openai"), ("ViT-B-16", "laion400m_e32")} <= {(m.arch, m.pretrained) for m in known}
    for model in (*known, Model(arch="hf-hub:org/name")):
        mine = [(file.repo, name) for file in weights.wanted(model) for name in file.names]
        assert mine == asked_by_open_clip(model, monkeypatch), model


def test_local_weights_want_nothing_of_the_hub(tmp_path: Path) -> None:
    for given in ("bundled", str(CHECKPOINT), str(tmp_path / "absent.pt"), "~/weights.safetensors"):
        assert weights.wanted(Model(arch=ARCH, pretrained=given)) == ()
    assert weights.wanted(Model(arch=f"local-dir:{tmp_path}")) == ()


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_a_tag_is_loaded_from_the_cache_without_the_hub(
    cache: Path, no_hub: str, tiny: Callable[..., Model], name: str
) -> None:
    clip, model = some_clip(), tiny()
    path = put(cache, "org/tiny", name)
    assert [file.repo for file in weights.absent(model)] == ["org/tiny"]
    save_file(clip.state_dict(), path) if path.suffix == ".safetensors" else torch.save(clip.state_dict(), path)
    assert weights.absent(model) == ()
    hooks = get_session().event_hooks
    began = time.monotonic()
    loaded = pretrained.load(model, CPU)
    assert time.monotonic() - began < 5
    assert same(loaded.clip, clip)
    torch.testing.assert_close(loaded.preprocess.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    assert get_session().event_hooks == hooks, "whoever asks the hub next may reach it"


def test_a_file_that_huggingface_hub_would_not_find_is_absent(cache: Path, tiny: Callable[..., Model]) -> None:
    path = put(cache, "org/tiny", "open_clip_model.safetensors")
    path.touch()
    assert weights.absent(tiny()) == ()
    (cache / "models--org--tiny" / "refs" / "main").unlink()
    assert len(weights.absent(tiny())) == 1


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_a_tag_s_weights_get_the_activation_they_were_trained_with(
    cache: Path, no_hub: str, tiny: Callable[..., Model], quick_gelu: bool
) -> None:
    clip = some_clip(quick_gelu)
    save_file(clip.state_dict(), put(cache, "org/tiny", "open_clip_model.safetensors"))
    loaded = pretrained.load(tiny(quick_gelu=quick_gelu), CPU).clip
    torch.testing.assert_close(seen(loaded), seen(clip))
    assert not torch.allclose(seen(some_clip(not quick_gelu)), seen(clip), atol=1e-4)


def test_a_hub_id_is_loaded_from_the_cache_without_the_hub(cache: Path, no_hub: str) -> None:
    clip, model = some_clip(), Model(arch="hf-hub:org/own")
    put(cache, "org/own", "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    assert [file.names[0] for file in weights.absent(model)] == ["open_clip_model.safetensors"]
    save_file(clip.state_dict(), put(cache, "org/own", "open_clip_model.safetensors"))
    assert same(pretrained.load(model, CPU).clip, clip)


@pytest.mark.parametrize("tag", ["openai", "laion400m_e32"])
def test_without_network_the_error_names_tag_file_and_both_ways_out_at_once(cache: Path, no_hub: str, tag: str) -> None:
    began = time.monotonic()
    message = refused(
        Model(arch="ViT-B-16", pretrained=tag),
        f"weights '{tag}' of ViT-B-16 are not in the cache",
        f"{no_hub} does not answer",
        f"{no_hub}/timm/vit_base_patch16_clip_224.{tag}/resolve/main/open_clip_model.safetensors",
        f"copy {cache}/models--timm--vit_base_patch16_clip_224.{tag} from a machine",
        "--set model.pretrained=/path/open_clip_model.safetensors",
    )
    assert time.monotonic() - began < 5
    assert ("--set model.arch=ViT-B-16-quickgelu" in message) == (tag == "openai")


def test_the_advice_to_change_the_architecture_names_one_that_exists() -> None:
    for arch, tag in open_clip.list_pretrained():
        model = Model(arch=arch, pretrained=tag)
        if weights.trained_with_quick_gelu(model):
            quick = arch if arch.endswith("-quickgelu") else f"{arch}-quickgelu"
            assert open_clip.get_model_config(quick)["quick_gelu"]


def test_a_hub_that_swallows_connections_is_given_up_in_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never says a word
        use_hub(f"http://127.0.0.1:{listening.getsockname()[1]}", monkeypatch)
        began = time.monotonic()
        refused(Model(arch="hf-hub:org/name"), "model.arch", "does not answer", "model.arch=local-dir:/path")
        assert time.monotonic() - began < 5


def test_hf_hub_offline_is_obeyed(cache: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(tiny(), "HF_HUB_OFFLINE is set")
    assert hub.requests == []


class Hub:
    """A hub on this machine: path -> content of its files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An HTTP server that speaks as much of the hub's protocol as a download takes."""
    mine = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            mine.requests.append((self.command, self.path))
            content = mine.files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("ETag", f'"{len(content or b"")}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            return content or b""

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        use_hub(f"http://127.0.0.1:{server.server_port}", monkeypatch)
        yield mine
        server.shutdown()


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_what_is_absent_is_fetched_once_and_said(cache: Path, hub: Hub, tiny: Any, tmp_path: Path, name: str) -> None:
    clip, model, said = some_clip(), tiny(), list[str]()
    torch.save(clip.state_dict(), tmp_path / "w.bin")
    save_file(clip.state_dict(), tmp_path / "w.safetensors")
    hub.files[f"/org/tiny/resolve/main/{name}"] = (tmp_path / f"w{Path(name).suffix}").read_bytes()
    weights.fetch(model, said.append)
    assert len(said) == 1
    assert "weights 'here' of tiny-clip" in said[0]
    assert "/org/tiny/resolve/main/open_clip_model.safetensors" in said[0]
    downloads = [request for request in hub.requests if request[0] == "GET"]
    assert downloads == [("GET", f"/org/tiny/resolve/main/{name}")]
    weights.fetch(model, said.append)
    assert same(pretrained.load(model, CPU).clip, clip)
    assert len(said) == 1
    assert [request for request in hub.requests if request[0] == "GET"] == downloads


@pytest.mark.usefixtures("cache", "hub")
@pytest.mark.parametrize(
    ("arch", "given", "words"),
    [
        ("hf-hub:org/other", None, ["org/other holds no open_clip_config.json"]),
        ("hf-hub:a/b/c", None, ["model.arch", "'hf-hub:a/b/c'", "hf-hub:organisation/name"]),
        ("hf-hub:org/name", "openai", ["model.pretrained", "'openai'", "leave it out"]),
        ("ViT-B-16", "hf-hub:org/name", ["'hf-hub:org/name'", "expected it as model.arch"]),
        ("ViT-B-16", "bundled", ["found 'bundled'", ARCH, "tag of ViT-B-16", "openai"]),
        ("RN50", str(CHECKPOINT), [str(CHECKPOINT), "could not be loaded as RN50"]),
    ],
)
def test_an_architecture_and_weights_that_do_not_belong_together(
    arch: str, given: str | None, words: list[str]
) -> None:
    refused(Model(arch=arch, pretrained=given), *words)


@pytest.mark.usefixtures("_tiny_config", "no_hub")
def test_local_files_of_either_kind_hold_the_same_weights(tmp_path: Path) -> None:
    clip = some_clip()
    save_file(clip.state_dict(), tmp_path / "w.safetensors")
    torch.save(clip.state_dict(), tmp_path / "w.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in clip.state_dict().items()}}, tmp_path / "t.pt")
    for name in ("w.safetensors", "w.pt", "t.pt"):
        model = Model(arch="tiny-clip", pretrained=str(tmp_path / name))
        assert weights.fingerprint(model).startswith("tiny-clip:")
        assert same(pretrained.load(model, CPU).clip, clip)


@pytest.mark.usefixtures("_tiny_config")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit:FutureWarning")
def test_openai_s_torchscript_archive_is_loaded_with_its_activation(tmp_path: Path) -> None:
    path = tmp_path / "ViT.pt"
    model = Model(arch="tiny-clip", pretrained=str(path))
    for quick_gelu, extras in (
        (True, {"input_resolution": 16, "context_length": 77, "vocab_size": 49408}),
        (False, {}),
    ):
        archive(some_clip(quick_gelu), path, extras)
        assert weights.fingerprint(model).startswith("tiny-clip:")
        expected = some_clip(quick_gelu).half().float()
        loaded = pretrained.load(model, CPU).clip
        assert same(loaded, expected)
        torch.testing.assert_close(seen(loaded), seen(expected))


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage", CHECKPOINT.read_bytes()[:5000]])
def test_garbage_is_refused_before_anything_starts(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"torn{suffix}"
    path.write_bytes(content)
    model = Model(arch=ARCH, pretrained=str(path))
    assert "weights_only" not in refusal.refused(lambda: weights.fingerprint(model), "is not a readable", str(path))


def test_a_local_folder_is_identified_by_content_and_loaded(tmp_path: Path) -> None:
    clip, folder = some_clip(), tmp_path / "mine"
    model = Model(arch=f"local-dir:{folder}")
    folder.mkdir()
    refusal.refused(lambda: weights.fingerprint(model), "found no file", "/mine/open_clip_config.json")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    refusal.refused(lambda: weights.fingerprint(model), "found no checkpoint in", "/mine")
    save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    first = weights.fingerprint(model)
    assert same(pretrained.load(model, CPU).clip, clip)
    assert weights.fingerprint(Model(arch=f"local-dir:{folder.rename(tmp_path / 'moved')}")) == first
    save_file(some_clip(True).half().state_dict(), tmp_path / "moved" / "open_clip_model.safetensors")
    assert weights.fingerprint(Model(arch=f"local-dir:{tmp_path}/moved")) != first
