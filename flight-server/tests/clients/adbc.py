"""ADBC's Flight SQL driver against a running server: python adbc.py grpc://HOST:PORT

Needs: pip install adbc-driver-manager adbc-driver-flightsql pyarrow
"""
import sys
import warnings

import adbc_driver_flightsql.dbapi as flightsql

uri = sys.argv[1]
warnings.simplefilter("ignore")  # the driver warns that autocommit cannot be turned off

for options in ({}, {"username": "anybody", "password": "any word"}):
    with flightsql.connect(uri, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) AS n FROM gold.things")
        assert cursor.fetchone() == (100,)

# Python's own default is autocommit off.
with flightsql.connect(uri) as connection:
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Ingot", info
    assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
    schema = connection.adbc_get_table_schema("things", catalog_filter="ingot", db_schema_filter="gold")
    assert schema.names == ["id", "kind"], schema
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert [c["catalog_name"] for c in objects] == ["ingot"], objects
    (gold,) = objects[0]["catalog_db_schemas"]
    (things,) = gold["db_schema_tables"]
    assert [c["column_name"] for c in things["table_columns"]] == ["id", "kind"], things

    with connection.cursor() as cursor:
        cursor.execute("SELECT id, kind FROM gold.things WHERE id >= ? AND kind = ? ORDER BY id", (90, "k0"))
        assert cursor.fetchall() == [(90, "k0"), (93, "k0"), (96, "k0"), (99, "k0")]
        cursor.execute("SELECT id FROM gold.things WHERE id = $1", (7,))
        assert cursor.fetchall() == [(7,)]
        cursor.execute("SELECT * FROM range(1000000)")
        assert sum(len(batch) for batch in cursor.fetch_record_batch()) == 1_000_000
        cursor.execute("SHOW TABLES")
        assert len(cursor.fetchall()) == 1
        for text, code in [
            ("SELECT * FROM gold.thing", "Q0102"),
            ("SELECT nope FROM gold.things", "Q0102"),
            ("SELEC 1", "Q0101"),
            ("INSERT INTO gold.things VALUES (1, 'x')", "Q0104"),
            ("CREATE TABLE t (a INT)", "Q0104"),
            ("SELECT ?", "Q0105"),
        ]:
            try:
                cursor.execute(text)
                cursor.fetchall()
            except Exception as error:
                assert code in str(error), (text, error)
            else:
                raise AssertionError(f"{text} ran")
        cursor.execute("SELECT a.value FROM range(1000000000000) a")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        cursor.adbc_cancel()
        try:
            while True:
                reader.read_next_batch()
        except StopIteration:
            raise AssertionError("the cancelled result ended as if it were complete")
        except Exception as error:
            assert "cancel" in str(error).lower(), error
print("adbc: right")
