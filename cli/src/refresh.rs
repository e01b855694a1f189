//! `refresh`: one table, one step, for a workflow engine.

use ingot_pipeline::maintain::Rounds;

use crate::args::{Global, RefreshArgs};
use crate::open::{self, Failure};
use crate::tell::note;
use crate::{process, run};

pub async fn refresh(global: &Global, args: &RefreshArgs) -> Result<u8, Failure> {
    let engine = open::engine(global).await?;
    let name = open::table(engine.project(), &args.table)?;
    let stop = process::stop_on_signals()?;
    let limit = process::Limit::start(args.timeout, &stop);
    let Some(_lease) = process::lease(&engine, args.timeout, &stop).await? else {
        return Ok(process::no_lease(args.timeout));
    };
    let report = engine.refresh(&name, args.full, args.accept_loss, &stop).await?;
    let tables = report.steps.iter().map(|step| step.table.clone()).collect();
    engine.keep_in_shape(&tables, &mut Rounds::default(), &stop).await;
    if !global.json {
        for step in &report.steps {
            note!("{}", run::line(step));
        }
    }
    run::finish(&report, global, None)?;
    Ok(if stop.is_cancelled() { limit.stopped_code() } else { report.exit_code() })
}
