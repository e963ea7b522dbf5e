"""Sorts, deduplicates and stores points with an engine that exists, and says what that took.

    engine.py prepare ROWS POINTS                   rows of 40 bytes into an uncompressed Parquet file, not measured
    engine.py duckdb|spark POINTS FOLDER THREADS    the measured run; one JSON document on stdout

A row is (org, metric, ts, value, sent): of rows with equal org, metric and ts the one with the highest `sent` stays.
What is measured begins when the engine is ready, so that starting a JVM is not counted.
"""

import json
import os
import pathlib
import sys
import time

SORTED_LAST = "SELECT org, metric, ts, {last}(value, sent) AS value FROM {points} GROUP BY org, metric, ts ORDER BY org, metric, ts"


def prepare(rows, points):
    import duckdb
    import numpy

    fields = [("org", "<i8"), ("metric", "<u8"), ("ts", "<i8"), ("value", "<f8"), ("sent", "<i8")]
    table = numpy.memmap(rows, dtype=fields, mode="r")
    connection = duckdb.connect()
    os.makedirs(points)
    step = 4_000_000
    for number, first in enumerate(range(0, len(table), step)):
        part = table[first : first + step]
        columns = {name: numpy.ascontiguousarray(part[name]) for name, _ in fields}
        # Spark has no unsigned integers: the same bits, and for both engines the same order.
        columns["metric"] = columns["metric"].view("<i8")
        connection.register("part", columns)
        connection.execute(
            f"COPY (SELECT * FROM part) TO '{points}/{number:04}.parquet' (FORMAT parquet, COMPRESSION uncompressed)"
        )
        connection.unregister("part")


def cpu_ms(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def peak_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def duckdb_engine(points, folder, threads):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads={threads}")
    connection.execute(f"SET temp_directory='{folder}.spill'")
    query = SORTED_LAST.format(last="arg_max", points=f"read_parquet('{points}/*.parquet')")
    os.makedirs(folder)
    copy = f"COPY ({query}) TO '{folder}/points.parquet' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)"
    return os.getpid(), lambda: connection.execute(copy)


def spark_engine(points, folder, threads):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{threads}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", str(8 * threads))
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.local.dir", f"{folder}.spill")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    session.read.parquet(points).createOrReplaceTempView("points")
    query = SORTED_LAST.format(last="max_by", points="points")
    pid = session.sparkContext._gateway.proc.pid
    return pid, lambda: session.sql(query).write.parquet(folder)


def measure(engine, points, folder, threads):
    pid, work = engine(points, folder, threads)
    before, start = cpu_ms(pid), time.monotonic()
    work()
    elapsed, cpu = time.monotonic() - start, cpu_ms(pid) - before
    peak = peak_bytes(pid)
    files = list(pathlib.Path(folder).glob("*.parquet"))
    import duckdb

    count = f"SELECT count(*) FROM read_parquet('{folder}/*.parquet')"
    return {
        "points_out": duckdb.connect().execute(count).fetchone()[0],
        "bytes_out": sum(file.stat().st_size for file in files),
        "elapsed_ms": int(elapsed * 1000),
        "cpu_ms": cpu,
        "peak_memory_bytes": peak,
    }


ENGINES = {"duckdb": duckdb_engine, "spark": spark_engine}
if sys.argv[1] == "prepare":
    prepare(*sys.argv[2:])
else:
    engine, points, folder, threads = sys.argv[1:]
    print(json.dumps(measure(ENGINES[engine], points, folder, int(threads))))
