"""From a model's name to a folder with its files: a local one, or a repository of the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from gliner_mt.errors import CheckpointError

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
BACKBONE_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "llm2vec_config.json")
PRETRAINED_FILES = (*BACKBONE_FILES, *ADAPTER_FILES, "model*.safetensors", "model.safetensors.index.json")
PICKLED_PARTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
LABEL_FILES = ("label_tokenizer.json", *(f"labels_tokenizer/{name}" for name in BACKBONE_FILES))
MODEL_FILES = ("gliner_config.json", *BACKBONE_FILES, *LABEL_FILES, SAFETENSORS)


def resolve(model: str | Path, *, local_files_only: bool = False) -> Path:
    """Return the folder of a model: the local one of that name, else that of the hub, fetched if need be.

    Only the files that a model is read from are fetched, and pickled weights only where there are no others.
    `local_files_only` takes what is in the cache and uses no network.

    Raises:
        CheckpointError: no such folder, and the hub has no such model or cannot be reached.
    """
    folder = _local(model)
    if folder is not None:
        return folder
    folder = _fetch(str(model), MODEL_FILES, local_files_only)
    if (folder / SAFETENSORS).is_file():
        return folder
    return _fetch(str(model), (*MODEL_FILES, PICKLED), local_files_only)


def resolve_backbone(name: str, *, local_files_only: bool = False) -> Path:
    """Return a folder with the config and tokenizer of a pretrained encoder; its weights are left alone.

    Raises:
        CheckpointError: as in `resolve`.
    """
    folder = _local(name)
    return _fetch(name, BACKBONE_FILES, local_files_only) if folder is None else folder


def resolve_pretrained(name: str | Path, *, local_files_only: bool = False) -> Path:
    """Return the folder of a pretrained encoder, decoder or adapter with its weights.

    Raises:
        CheckpointError: as in `resolve`.
    """
    folder = _local(name)
    if folder is not None:
        return folder
    folder = _fetch(str(name), PRETRAINED_FILES, local_files_only)
    if any(folder.glob("*.safetensors")):
        return folder
    return _fetch(str(name), (*PRETRAINED_FILES, *PICKLED_PARTS), local_files_only)


def resolve_adapter(name: str | Path, files: Sequence[str], *, local_files_only: bool = False) -> Path:
    """Return the folder of an adapter of ours, which consists of `files`.

    Raises:
        CheckpointError: as in `resolve`.
    """
    folder = _local(name)
    return _fetch(str(name), files, local_files_only) if folder is None else folder


def push(folder: Path, name: str, files: Sequence[str], *, private: bool) -> str:
    """Put files of a folder into a repository of the hub, made if need be; return where they can be seen.

    Raises:
        CheckpointError: the hub cannot be reached, or does not let us write there.
    """
    api = HfApi()
    try:
        repository = api.create_repo(name, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(files))
    except HFValidationError as error:
        raise CheckpointError(
            f"{name!r} cannot be the name of a hub repository; expected owner/name."
        ) from error
    except Exception as error:  # trouble of network, server and rights has no common type
        raise CheckpointError(
            f"the files cannot be put on the hub as {name}: {error} "
            "Run `hf auth login` with a token that may write there."
        ) from error
    return commit.commit_url


def _local(model: str | Path) -> Path | None:
    if not str(model):
        raise CheckpointError(
            "the name of the model is empty; expected a folder, or a hub id such as owner/name."
        )
    path = Path(model).expanduser()
    if path.is_file():
        raise CheckpointError(
            f"{path} is a file; expected the folder of a model or adapter. Give the one that it is in."
        )
    return path if path.is_dir() else None


def _fetch(name: str, files: Sequence[str], local_files_only: bool) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), local_files_only=local_files_only))
    except HFValidationError as error:
        raise CheckpointError(
            f"there is no folder {name}, nor is that the name of a hub model (owner/name). Check the path."
        ) from error
    except GatedRepoError as error:
        raise CheckpointError(
            f"the hub gives {name} only to whom its owner allows. Ask at https://huggingface.co/{name}, "
            "then run `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"there is no folder {name}, and the hub shows no model of that name. Check the spelling; "
            "if it is private, run `hf auth login`."
        ) from error
    except LocalEntryNotFoundError as error:
        missing = f"there is no folder {name}, and the cache of the hub does not hold all of its files"
        if local_files_only:
            raise CheckpointError(f"{missing}. Allow the network once (local_files_only=False).") from error
        raise CheckpointError(f"{missing}, while the hub cannot be reached: {error}") from error
    except Exception as error:  # trouble of network, server and disk has no common type
        raise CheckpointError(f"{name} cannot be fetched from the hub: {error}") from error
