"""From a file and flags to a request. Reads a file at most."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m0_contract.request import MAX_BODY_BYTES, RequestError
from m0_contract.resource import KIND, VideoChunkJobSpec
from pydantic import ValidationError

from m0_operator.cli.errors import CliError, Exit, usage
from m0_operator.domain.wanted import parse_process_id
from m0_operator.gateway.submission import Submission, parse_submission

FIELDS = {
    "source": "cloud_stream_path",
    "destination": "destination_prefix",
    "cache": "cache_container_name",
    "modality": "inference_modality",
}
CUTTING = ("chunk_duration", "precision", "overlap", "fps", "width", "height")
FLAGS = {"process_id": "--id", "video_preprocessing.chunk_duration": "--chunk-duration"} | {
    field: f"--{flag}" for flag, field in FIELDS.items()
}


def build_submission(given: Mapping[str, Any]) -> Submission:
    """The request that is meant.

    Args:
        given: the values of `m0 submit`'s options.

    Raises:
        CliError: the file can't be read, or there is no valid request; names each bad field.
    """
    body = read_body(given["file"]) if given["file"] else None
    document = _changed(body, given)
    if document is not None:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    try:
        submission = parse_submission(body or b"{}")
    except RequestError as error:
        raise CliError(Exit.USAGE, f"the request is not valid: {_name_flags(error)}") from error
    return submission


def _changed(body: bytes | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request as a document; None when the file's very bytes are to be sent."""
    flags = {field: given[flag] for flag, field in FIELDS.items() if given[flag] is not None}
    cutting = {name: _plain(given[name]) for name in CUTTING if given[name] is not None}
    if given["process_id"] is not None:
        meant = parse_process_id(given["process_id"])
        if not meant:
            raise usage("--id must have 1 to 256 characters")
        flags["process_id"] = meant[0]
    if given["inference_config"] is not None:
        flags["inference_config"] = _load(given["inference_config"], "--inference-config")
    if given["priority"] is not None:
        flags["priority"] = given["priority"]
    if body is not None and not flags and not cutting:
        return None
    document = _load(body.decode(errors="replace"), str(given["file"])) if body else {}
    document |= flags
    if cutting:
        document["video_preprocessing"] = dict(document.get("video_preprocessing") or {}) | cutting
    if body is None:
        document.setdefault("inference_modality", "batch")
        if "process_id" in document:
            document.setdefault("destination_prefix", f"processed/{document['process_id']}/")
    return document


def _plain(value: Any) -> Any:
    """A whole number as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _load(text: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise usage(f"{what}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise usage(f"{what}: JSON, but not an object")
    return document


def read_body(file: str) -> bytes:
    """A file's request as JSON bytes; JSON as it is, YAML and a VideoChunkJob turned into it.

    Raises:
        CliError: it can't be read, or holds nothing of that kind.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise usage(f"{file}: {error.strerror or error}") from error
    if len(data) > MAX_BODY_BYTES:
        raise usage(f"{file}: {len(data)} bytes; a request has at most {MAX_BODY_BYTES}")
    try:
        document: Any = json.loads(data)
        plain = True
    except ValueError:
        document, plain = _load_yaml(data, file), False
    if not isinstance(document, dict):
        raise usage(f"{file}: holds no request: that is an object with process_id and more")
    if document.get("kind") == KIND:
        return _from_resource(document, file)
    return data if plain else json.dumps(document, ensure_ascii=False).encode()


def _load_yaml(data: bytes, file: str) -> Any:
    import yaml  # noqa: PLC0415 - most requests are JSON

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise usage(f"{file}: neither JSON nor YAML{place}") from error


def _from_resource(document: dict[str, Any], file: str) -> bytes:
    try:
        spec = VideoChunkJobSpec.model_validate(document.get("spec"))
        return spec.to_request().to_json().encode()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise usage(f"{file}: spec.{where}: {first['msg']}") from error
    except RequestError as error:
        raise usage(f"{file}: {error}") from error


def _name_flags(error: RequestError) -> str:
    if not error.fields:
        return str(error)
    shown = []
    for name, text in error.fields:
        flag = FLAGS.get(name) or ("--chunk-duration" if name == "video_preprocessing" else "")
        shown.append(f"{name} ({flag}) {text}" if flag else f"{name}: {text}")
    return "; ".join(shown)


def call(process_id: int | str) -> str:
    """The id as a person would type it to mean exactly this one."""
    return f'"{process_id}"' if isinstance(process_id, str) else str(process_id)
