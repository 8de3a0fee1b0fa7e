import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants

from gliner_mt.checkpoint.hub import resolve, resolve_backbone, resolve_pretrained
from gliner_mt.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHERS = ["README.md", "onnx/model.onnx", "training_args.bin", "flax_model.msgpack"]
REPOSITORIES = {
    "team/both": ["gliner_config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", *OTHERS],
    "team/pickled": [
        "gliner_config.json",
        "pytorch_model.bin",
        "spm.model",
        "tokenizer_config.json",
        *OTHERS,
    ],
    "team/encoder": ["config.json", "model.safetensors", "pytorch_model.bin", *OTHERS],
    "team/parts": [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "original/model.safetensors.pth",
        *OTHERS,
    ],
    "team/adapter": ["adapter_config.json", "adapter_model.safetensors", "llm2vec_config.json", *OTHERS],
    "team/old": ["config.json", "pytorch_model.bin", "tokenizer.json", *OTHERS],
}


class Hub(NamedTuple):
    """A server that speaks as much of the hub's protocol as a download needs; `fetched` are its answers."""

    url: str
    fetched: list[str]
    server: ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    fetched: list[str]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = urlsplit(self.path).path.removeprefix("/api/models").strip("/")
        owner, name, *rest = path.split("/")
        repository = f"{owner}/{name}"
        if owner == "closed":
            self._send(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"}, with_body=with_body)
        elif owner == "broken":
            self._send(500, {"error": "out of order"}, {}, with_body=with_body)
        elif repository not in REPOSITORIES:
            self._send(404, {"error": "unknown"}, {"X-Error-Code": "RepoNotFound"}, with_body=with_body)
        elif rest[0] == "resolve":
            filename = "/".join(rest[2:])
            if with_body:
                self.fetched.append(filename)
            headers = {"ETag": f'"{filename}"', "X-Repo-Commit": COMMIT}
            self._send(200, {"file": filename}, headers, with_body=with_body)
        elif rest[0] == "tree":
            files = [
                {"type": "file", "path": file, "size": 8, "oid": file} for file in REPOSITORIES[repository]
            ]
            self._send(200, files, {}, with_body=with_body)
        else:
            self._send(200, {"id": repository, "sha": COMMIT, "siblings": []}, {}, with_body=with_body)

    def _send(self, status: int, value: object, headers: dict[str, str], *, with_body: bool) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for key, text in {
            **headers,
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
        }.items():
            self.send_header(key, text)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    fetched: list[str] = []
    handler = type("Handler", (_Handler,), {"fetched": fetched})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Hub(url, fetched, server)
    server.shutdown()
    thread.join()
    server.server_close()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_needed_files_are_fetched_and_safetensors_preferred(hub: Hub) -> None:
    folder = resolve("team/both")
    assert files(folder) == {"gliner_config.json", "model.safetensors", "tokenizer.json"}
    assert sorted(hub.fetched) == sorted(files(folder))


def test_pickled_weights_are_fetched_where_there_are_no_others(hub: Hub) -> None:
    expected = {"gliner_config.json", "pytorch_model.bin", "spm.model", "tokenizer_config.json"}
    assert files(resolve("team/pickled")) == expected
    assert sorted(hub.fetched) == sorted(expected)


def test_weights_of_a_backbone_are_left_alone(hub: Hub) -> None:
    assert files(resolve_backbone("team/pickled")) == {"spm.model", "tokenizer_config.json"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("team/encoder", {"config.json", "model.safetensors"}),
        ("team/parts", set(REPOSITORIES["team/parts"][:4])),
        ("team/adapter", set(REPOSITORIES["team/adapter"][:3])),
        ("team/old", {"config.json", "pytorch_model.bin", "tokenizer.json"}),
    ],
)
def test_pretrained_models_come_with_their_weights(name: str, expected: set[str], hub: Hub) -> None:
    folder = resolve_pretrained(name)
    assert files(folder) == expected
    assert sorted(hub.fetched) == sorted(expected)
    hub.fetched.clear()
    assert resolve_pretrained(name, local_files_only=True) == folder
    assert resolve_pretrained(folder) == folder
    assert not hub.fetched


@pytest.mark.parametrize("name", ["team/both", "team/pickled"])
def test_what_is_cached_needs_no_network(name: str, hub: Hub) -> None:
    folder = resolve(name)
    hub.fetched.clear()
    assert resolve(name, local_files_only=True) == folder
    assert not hub.fetched


def test_an_interrupted_download_is_no_model(hub: Hub) -> None:
    (resolve("team/both") / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"Allow the network once \(local_files_only=False\)"):
        resolve("team/both", local_files_only=True)


def test_a_local_folder_comes_before_the_hub(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "team/both").mkdir(parents=True)
    assert resolve("team/both") == Path("team/both")
    assert resolve(tmp_path) == tmp_path
    assert not hub.fetched


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "team/nothing",
            "no folder team/nothing, and the hub shows no model of that name. Check the spelling",
        ),
        ("closed/model", "only to whom its owner allows. Ask at https://huggingface.co/closed/model"),
        ("broken/model", "no folder broken/model, .* the hub cannot be reached"),
        (
            "models/my/model",
            r"no folder models/my/model, nor is that the name of a hub model \(owner/name\)",
        ),
        ("./model", "no folder ./model, nor is that the name"),
        ("", "is empty; expected a folder, or a hub id"),
    ],
)
def test_unknown_models(name: str, message: str, hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        resolve(name)


def test_nothing_cached_and_no_network_allowed(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match="no folder team/both, and the cache of the hub does not hold"):
        resolve("team/both", local_files_only=True)


def test_hub_out_of_reach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="hub cannot be reached"):
        resolve("team/both")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="is a file; expected the folder of a model"):
        resolve(path)
