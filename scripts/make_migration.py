"""Write the migration that brings a database to what the models declare; read it before you commit it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

import chainwallet.migrations
from chainwallet.kit.database import open_database
from chainwallet.migrations import upgrade


def main(message: str) -> None:
    folder = Path(chainwallet.migrations.__file__).parent
    number = len(list((folder / "versions").glob("0*.py"))) + 1
    with tempfile.TemporaryDirectory(prefix="cw-") as data_dir:
        database = open_database(None, data_dir=Path(data_dir))
        upgrade(database)
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        with database.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
        database.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "change")
