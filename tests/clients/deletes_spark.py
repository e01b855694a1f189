"""Tables whose rows Spark deletes, and Iceberg's Java library by value, with what Spark reads of them after each step.

    deletes_spark.py --catalog-uri sqlite:////path/catalog.db --warehouse file:///folder --answers FILE  (tests/services/spark.sh run)

Spark deletes, updates and merges by position delete files (format version 2) and by deletion vectors (3), of one file each and of
a partition; equality deletes are the library's own writer's. FILE gets a list of [table, snapshot, rows] as JSON.
"""

import argparse
import json
import uuid

from lake_args import add_lake_arguments
from spark_session import session

ROWS = """SELECT id, CASE WHEN id % 11 = 0 THEN NULL ELSE concat('k', id % 40) END AS k, CAST(id % 1000 / 8 AS DECIMAL(9, 3)) AS d,
    CASE WHEN id % 5 = 0 THEN NULL ELSE named_struct('a', CAST(id % 9 AS INT), 'b', CAST(id AS STRING)) END AS s, CAST(id % 3 AS INT) AS r"""


class Acts:
    def __init__(self, spark, name, version, granularity, partitioned):
        self.spark, self.name, self.answers = spark, f"ingot.{name}", []
        self.sql(f"""CREATE TABLE {self.name} (id BIGINT, k STRING, d DECIMAL(9, 3), s STRUCT<a: INT, b: STRING>, r INT) USING iceberg {partitioned}
            TBLPROPERTIES ('format-version' = '{version}', 'write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read',
            'write.merge.mode' = 'merge-on-read', 'write.delete.granularity' = '{granularity}', 'write.parquet.row-group-size-bytes' = '20000')""")

    def sql(self, text):
        return self.spark.sql(text).collect()

    def step(self, text):
        self.sql(text)
        self.note()

    def note(self):
        [[snapshot]] = self.sql(f"SELECT snapshot_id FROM {self.name}.refs WHERE name = 'main'")
        rows = self.sql(f"SELECT id, k, CAST(d AS STRING), s.a, s.b, r FROM {self.name}")
        self.answers.append([self.name.removeprefix("ingot."), snapshot, [list(row) for row in rows]])

    def insert(self, begin, end):
        self.step(f"INSERT INTO {self.name} {ROWS} FROM range({begin}, {end}, 1, 2)")

    def by_value(self, columns, keys, partition=None):
        """Equality deletes as Java's library writes them: of rows with these values in these columns, in the table's order.
        Not of BIGINT columns: numbers arrive there as INT."""
        jvm, gateway = self.spark._jvm, self.spark.sparkContext._gateway
        iceberg = jvm.org.apache.iceberg
        table = iceberg.spark.Spark3Util.loadIcebergTable(self.spark._jsparkSession, self.name)
        schema = table.schema().select(columns)
        ids = gateway.new_array(jvm.int, len(columns))
        for n, column in enumerate(columns):
            ids[n] = table.schema().findField(column).fieldId()
        output = table.io().newOutputFile(f"{table.location()}/data/{uuid.uuid4()}.parquet")
        record = jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass("org.apache.iceberg.data.Record")
        builder = iceberg.formats.FormatModelRegistry.equalityDeleteWriteBuilder(
            iceberg.FileFormat.PARQUET, record, iceberg.encryption.EncryptedFiles.plainAsEncryptedOutput(output))
        builder = builder.schema(schema).equalityFieldIds(ids).spec(table.spec())
        if partition is not None:
            row = iceberg.data.GenericRecord.create(table.spec().partitionType())
            for n, value in enumerate(partition):
                row.set(n, value)
            builder = builder.partition(row)
        writer = builder.build()
        for key in keys:
            row = iceberg.data.GenericRecord.create(schema)
            self.fill(row, schema.asStruct(), key)
            writer.write(row)
        writer.close()
        table.newRowDelta().addDeletes(writer.toDeleteFile()).commit()
        self.sql(f"REFRESH TABLE {self.name}")
        self.note()

    def fill(self, row, of, values):
        for n, (field, value) in enumerate(zip(of.fields(), values)):
            if isinstance(value, tuple):
                inner = self.spark._jvm.org.apache.iceberg.data.GenericRecord.create(field.type().asStructType())
                self.fill(inner, field.type().asStructType(), value)
                value = inner
            row.set(n, value)


def history(acts, partition):
    """`partition`: that of equality deletes; None where the table has none."""
    name = acts.name
    acts.insert(0, 3000)
    acts.insert(3000, 4000)
    acts.step(f"DELETE FROM {name} WHERE id % 7 = 3")
    acts.step(f"UPDATE {name} SET k = 'new', d = 0.125 WHERE id BETWEEN 100 AND 900 AND id % 2 = 0")
    acts.by_value(["k"], [["k3"], [None], ["nobody"]], partition)
    acts.insert(4000, 4500)
    acts.step(f"DELETE FROM {name} WHERE id BETWEEN 1200 AND 1500")
    acts.by_value(["k", "r"], [["k1", 1], ["k4", 0], ["k2", 2], [None, 1]], partition)
    acts.step(f"""MERGE INTO {name} t USING (SELECT id * 3 AS id, 'merged' AS k FROM range(500, 1500)) u ON t.id = u.id
        WHEN MATCHED AND t.id % 2 = 0 THEN UPDATE SET k = u.k WHEN MATCHED THEN DELETE
        WHEN NOT MATCHED THEN INSERT (id, k, d, s, r) VALUES (u.id, u.k, NULL, NULL, 1)""")
    acts.by_value(["s.a"], [[(4,)], [(None,)]], partition)
    acts.sql(f"ALTER TABLE {name} ALTER COLUMN r TYPE BIGINT")
    acts.insert(5000, 5300)
    acts.step(f"DELETE FROM {name} WHERE id % 13 = 1")
    acts.step(f"CALL ingot.system.rollback_to_snapshot('{name.removeprefix('ingot.')}', {acts.answers[-4][1]})")
    acts.step(f"DELETE FROM {name} WHERE k = 'k9'")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    parser.add_argument("--answers", required=True)
    args = parser.parse_args()
    spark = session(args)
    # With its cache of deletes a read now and then leaves some of a table's equality deletes out.
    spark.conf.set("spark.sql.iceberg.executor-cache.enabled", "false")
    spark.sql("CREATE NAMESPACE IF NOT EXISTS ingot.s")
    answers = []
    for name, version, granularity, partitioned, partition in [
        ("s.files2", 2, "file", "", None), ("s.partitions2", 2, "partition", "PARTITIONED BY (r)", [1]), ("s.vectors3", 3, "file", "", None),
        ("s.parts3", 3, "file", "PARTITIONED BY (bucket(4, id))", [2]),
    ]:
        acts = Acts(spark, name, version, granularity, partitioned)
        if "(r)" in partitioned:
            # What is partitioned by it keeps its type.
            acts.sql = lambda text, sql=acts.sql: None if "ALTER COLUMN r" in text else sql(text)
        history(acts, partition)
        answers += acts.answers
    with open(args.answers, "w") as file:
        json.dump(answers, file)
    spark.stop()


if __name__ == "__main__":
    main()
