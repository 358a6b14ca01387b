"""The image's botocore, relieved of its prose, says and does the same as the whole one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import botocore
import pytest

ROOT = Path(__file__).parents[3]
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "a-new-1")
SERVICES = ("s3", "secretsmanager", "sts", "sso", "sso-oidc")

ASK = f"""
import json, sys
import botocore.loaders, botocore.session
if len(sys.argv) > 1:
    botocore.loaders.Loader.BUILTIN_DATA_PATH = sys.argv[1]
said = []
for region in {REGIONS}:
    session = botocore.session.get_session()
    session.set_credentials("a", "b")
    for service in {SERVICES}:
        client = session.create_client(service, region_name=region)
        model = client.meta.service_model
        said.append([service, region, client.meta.endpoint_url, model.signature_version])
        for name in model.operation_names:
            operation = model.operation_model(name)
            shapes = [operation.input_shape, operation.output_shape]
            said.append([name, operation.http, [sorted(s.members) if s else None for s in shapes]])
    client = session.create_client("s3", region_name=region)
    parameters = {{"Bucket": "b", "Key": "k"}}
    said.append(client.generate_presigned_url("get_object", Params=parameters).split("?")[0])
print(json.dumps(said))
"""


def ask(*arguments: str) -> list:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of botocore's data, treated as the image's Dockerfile does."""
    site = tmp_path_factory.mktemp("venv") / "lib" / "python3.0" / "site-packages"
    whole = Path(botocore.__file__).parent / "data"
    data = site / "botocore" / "data"
    data.mkdir(parents=True)
    for path in whole.glob("*.json"):
        shutil.copy(path, data)
    for service in (*SERVICES, "signin", "ec2"):
        shutil.copytree(whole / service, data / service)
    prune = ROOT / "chunker-job" / "bin" / "prune.sh"
    subprocess.run(["sh", prune, site.parents[2]], check=True)
    return data


def test_operations_and_endpoints_are_the_same(slim: Path) -> None:
    assert ask(str(slim)) == ask()


def test_it_is_much_smaller(slim: Path) -> None:
    whole = Path(botocore.__file__).parent / "data" / "endpoints.json"
    assert (slim / "endpoints.json").stat().st_size < whole.stat().st_size / 10
    assert not list(slim.rglob("*.gz"))
    assert not (slim / "ec2").exists()
