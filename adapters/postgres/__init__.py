"""The state table in Postgres: tables, migrations, and the sink that writes them."""
