"""One Spark task for each task of a compaction plan: spark-submit [--master MASTER] THIS_FILE.

Spark only starts processes and retries them; no data goes through it. A task that cannot succeed is not tried again,
and does not stop the others: they are listed at the end, and the exit code is 1.
"""

import os
import subprocess
import sys

from pyspark.sql import SparkSession

PLAN = "@PLAN@"
TASKS = @TASKS@
COMMAND = ["@BINARY@", "compact", "task", "--config", "@SETTINGS@", "--plan", PLAN, "--index", "auto"]
FINAL = {0: "done", 2: "settings", 30: "superseded", 42: "damaged", 43: "too large: plan again"}


def run(indexes):
    for index in indexes:
        environment = dict(os.environ, SKEIN_TASK_INDEX=str(index))
        ended = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode not in FINAL:
            # Spark tries the task again, spark.task.maxFailures times in all.
            raise RuntimeError(f"task {index} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        yield index, ended.returncode, (ended.stdout + ended.stderr)[-2000:]


def main():
    spark = SparkSession.builder.appName("skein-compact-@PLAN_SHORT@").getOrCreate()
    results = spark.sparkContext.parallelize(range(TASKS), TASKS).mapPartitions(run).collect()
    failed = [result for result in results if result[1] != 0]
    for index, code, output in failed:
        print(f"task {index}: {FINAL[code]}: {output}", file=sys.stderr)
    print(f"{TASKS - len(failed)} of {TASKS} tasks of plan {PLAN} are done")
    spark.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
