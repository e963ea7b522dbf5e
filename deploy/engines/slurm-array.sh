#!/bin/bash
#SBATCH --job-name=skein-compact-@PLAN_SHORT@
#SBATCH --array=0-@LAST@%@PARALLELISM@
#SBATCH --cpus-per-task=1
#SBATCH --mem=@MEMORY_MIB@M
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
# One array task for each task of a compaction plan. What may succeed at another try is requeued, at most three times.
"@BINARY@" --config "@SETTINGS@" compact task --plan @PLAN@ --index auto &
task=$!
# At its time limit, or preempted: what it has done does not count, and the task ends with 143.
trap 'kill -TERM "$task"' TERM
wait "$task"
code=$?
while kill -0 "$task" 2> /dev/null; do
    wait "$task"
    code=$?
done
case "$code" in
    1 | 20 | 13[0-9] | 14[0-9])
        if [[ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]] && scontrol requeue "${SLURM_JOB_ID}"; then
            # The requeue ends this try.
            sleep 60
        fi
        ;;
esac
exit "$code"
