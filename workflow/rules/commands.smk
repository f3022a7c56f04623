"""How jobs call vdiff, where their files are, and how configurations are read: of any workflow."""

import os
import shlex
import sys
from pathlib import Path

import psutil
from snakemake_interface_executor_plugins.settings import SharedFSUsage

import vdiff
from vdiff.config import merge, read_yaml
from vdiff.files.codehash import code_hash

ROOT = Path(str(workflow.current_basedir)).parents[1]
ENVIRONMENT = str(ROOT / "environment.yml")  # for --sdm conda
PACK = "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf"
# Without a shared disk every file is in a store (--default-storage-provider), jobs run AWAY from
# the data, and what they need of them are inputs.
STORE = workflow.storage_registry.default_storage_provider
AWAY = (
    not workflow.is_main_process
    and SharedFSUsage.INPUT_OUTPUT not in workflow.storage_settings.shared_fs_usage
)


def read_strictly(config):
    """Snakemake's own reading takes `on` for true and keeps the last of two keys. Of a module the
    configuration is what the workflow around it gives."""
    if workflow.modifier.parent_modifier is None:
        for file in workflow.config_settings.configfiles:
            config = merge(config, read_yaml(file))
        config = merge(config, dict(workflow.config_settings.config))
    return config


# Lines, not redrawn bars: parallel jobs share the terminal. The code is that whose hashes the rules
# have, whatever lies in the working folder or on PYTHONPATH. Jobs of a user without a home, as in
# containers, keep caches in the temporary folder.
CODE = shlex.quote(str(Path(vdiff.__file__).with_name("__main__.py"))).replace(
    "{", "{{"
)
# Jobs of this process are forks of one that has imported torch already, where there are such forks
# and jobs are to have no other software than this process.
PYTHON = "python -P"
own_software = not workflow.deployment_settings.deployment_method
if workflow.is_main_process and sys.platform == "linux" and own_software:
    FORKED = shlex.quote(str(Path(vdiff.__file__).parent / "machine" / "forked.py"))
    own = f"{Path('.snakemake/forkserver').absolute()}:{os.getpid()}"
    servers = os.environ.get("VDIFF_SERVERS") or own
    sockets, _, owner = servers.rpartition(":")
    if not (Path(sockets).is_absolute() and owner in map(str, psutil.pids())):
        sys.exit(
            f"VDIFF_SERVERS is {servers!r}; it must be FOLDER:PROCESS, a path from the root and a "
            'process that is there, such as "$HOME/.cache/vdiff:$$".'
        )
    PYTHON = f"python -I -S {FORKED} {shlex.quote(sockets)} {owner}".replace("{", "{{")
shell.prefix(
    "export VDIFF_PROGRESS=${{VDIFF_PROGRESS:-lines}} PYTHONSAFEPATH=1; "
    '[ -w "${{HOME:-/nonexistent}}" ] || export HOME="${{TMPDIR:-/tmp}}"; '
    f'vdiff() {{{{ {PYTHON} {CODE} "$@"; }}}}; '
)
