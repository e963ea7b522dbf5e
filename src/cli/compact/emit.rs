//! `skein compact emit`: a plan in an engine's own words.

use clap::{Args, ValueEnum};
use skein_compactor::task_results::load_plan;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;

use crate::cli::compact::task::PlanUri;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Flags of `skein compact emit`.
#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// For which engine
    #[arg(long)]
    engine: Engine,
    /// The plan: its id, its key `plans/ID`, or a URL that ends with it
    #[arg(long, value_name = "PLAN")]
    plan: PlanUri,
    /// Container image (k8s, aws-batch)
    #[arg(long, default_value = "skein:latest")]
    image: String,
    /// Path of the binary on the engine's machines (slurm, spark)
    #[arg(long, default_value = "skein")]
    binary: String,
    /// Path of the settings file on the engine's machines
    #[arg(long, default_value = "/etc/skein/skein.toml", value_name = "FILE")]
    settings_file: String,
    /// Tasks at the same time
    #[arg(long, default_value_t = 64)]
    parallelism: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// A Kubernetes Indexed Job
    K8s,
    /// An AWS Batch array job, for `aws batch submit-job --cli-input-json`
    AwsBatch,
    /// A Slurm array, for `sbatch`
    Slurm,
    /// A Python program, for `spark-submit`
    Spark,
}

impl Engine {
    const fn template(self) -> &'static str {
        match self {
            Self::K8s => include_str!("../../../deploy/engines/k8s-job.yaml"),
            Self::AwsBatch => include_str!("../../../deploy/engines/aws-batch.json"),
            Self::Slurm => include_str!("../../../deploy/engines/slurm-array.sh"),
            Self::Spark => include_str!("../../../deploy/engines/spark_tasks.py"),
        }
    }
}

/// Runs it.
pub(super) fn run(args: &EmitArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let plan = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(load_plan(&bucket, args.plan.0).await?)
    })?;
    let memory_bytes = settings.compactor.memory_budget.0;
    let manifest = fill(args, plan.tasks.len(), memory_bytes)?;
    output::lines(&[manifest.trim_end().to_owned()])?;
    Ok(ExitCode::Ok)
}

fn fill(args: &EmitArgs, tasks: usize, memory_bytes: u64) -> Result<String, Failure> {
    for text in [&args.image, &args.binary, &args.settings_file] {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        if text.is_empty() || !text.chars().all(is_plain) {
            let message =
                format!("`{text}` cannot stand in a manifest: letters, digits and ._-/:@ can");
            return Err(Failure::usage(message));
        }
    }
    // The budget is of payloads, encoders and uploads; the process itself takes less than this on top.
    let memory_mib = memory_bytes.div_ceil(1 << 20) + 128;
    let parallelism = args.parallelism.max(1).to_string();
    let last = tasks.saturating_sub(1).to_string();
    // AWS Batch takes arrays of two and more; a task beyond the plan's last has nothing to do.
    let array = tasks.max(2).to_string();
    let plan = args.plan.0.to_string();
    let values = [
        ("@PLAN@", plan.as_str()),
        ("@PLAN_SHORT@", &plan[..12]),
        ("@TASKS@", &tasks.to_string()),
        ("@LAST@", &last),
        ("@ARRAY@", &array),
        ("@PARALLELISM@", &parallelism),
        ("@MEMORY_MIB@", &memory_mib.to_string()),
        ("@IMAGE@", &args.image),
        ("@BINARY@", &args.binary),
        ("@SETTINGS@", &args.settings_file),
    ];
    let template = args.engine.template().to_owned();
    let filled = values.iter();
    Ok(filled.fold(template, |text, (name, value)| text.replace(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(engine: Engine) -> EmitArgs {
        EmitArgs {
            engine,
            plan: "s3://b/p/plans/00000000000000000000000000000abc"
                .parse()
                .unwrap(),
            image: "registry.example/skein:1".into(),
            binary: "/opt/skein".into(),
            settings_file: "/etc/skein/skein.toml".into(),
            parallelism: 8,
        }
    }

    #[test]
    fn every_place_of_every_template_is_filled() {
        for engine in Engine::value_variants() {
            let text = fill(&args(*engine), 70, 1 << 30).unwrap();
            assert!(text.contains("00000000000000000000000000000abc"));
            let names = text.split('@').filter(|name| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            });
            assert_eq!(names.count(), 0, "{text}");
        }
    }

    #[test]
    fn a_job_of_aws_batch_is_json_and_has_at_least_two_tasks() {
        let text = fill(&args(Engine::AwsBatch), 1, 1 << 30).unwrap();
        let job: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(job["arrayProperties"]["size"], 2);
    }

    #[test]
    fn what_could_break_out_of_a_manifest_is_refused() {
        for image in ["", "a b", "a\"", "$(x)", "a\nb"] {
            let args = EmitArgs {
                image: image.into(),
                ..args(Engine::Slurm)
            };
            assert!(fill(&args, 1, 1).is_err(), "{image}");
        }
    }
}
