//! The steps of a plan as refreshes: their tables loaded, their inputs pinned, and still as they were planned.
//!
//! Invariants
//! * Inputs of one step stand on the same snapshot of every streaming table below them, or the step waits.
//! * Tables that share a read are pinned once.
//!
//! Not here: planning (`planner`), refreshing (`act`, `together`).

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use ingot_lake::{Table, crash};
use ingot_model::TableName;
use ingot_project::project::Model;

use super::act::{Job, Member};
use super::bases::{self, Bases};
use super::changes::Input;
use super::facts::Inputs;
use crate::engine::{Engine, same_columns};
use crate::error::{PipelineError, Result};
use crate::plan::{Action, Read, Upto};
use crate::planner::{self, TableFacts};

impl Engine {
    /// A step with its inputs pinned; the flag says that what moved is taken in parts and more comes after this one.
    pub(crate) async fn pinned<'a>(&'a self, model: &'a Model, action: &Action) -> Result<(Member<'a>, bool)> {
        let mut names = model.inputs.clone();
        names.push(model.name.clone());
        let mut tables = self.lake().load_tables(&names).await?;
        let target = tables.pop().transpose()?.flatten();
        self.check_target(model, action, target.as_ref())?;
        let bytes_max = (self.config().run.memory_bytes_max / 8) as u64;
        let in_parts =
            model.strategy.merges_by_key() && model.inputs.len() == 1 && matches!(action, Action::Refresh { .. });
        let mut more = false;
        let mut inputs = BTreeMap::new();
        for (name, table) in names.iter().zip(tables) {
            let Some(table) = table? else { return Err(self.absent_input(&model.name, name)) };
            let table = self.as_declared(table)?;
            if table.head().is_none() && !self.is_external(name) {
                let text = format!("\"{}\" reads \"{name}\", whose first build has not succeeded yet", model.name);
                return Err(PipelineError::Stopped { code: "R0303", message: text, hint: None, retryable: true });
            }
            let read = action.reads().iter().find(|r| r.table == *name);
            let to = match read.map(|r| r.to) {
                Some(Upto::Snapshot(to)) => to,
                _ => table.head(),
            };
            self.input_ready(name, &table)?;
            let mut input = Input { table, from: read.and_then(|r| r.from), to };
            // Rows of a keyed merge are held, so a catch-up goes by parts. Inputs that are joined or united must agree
            // on what they stand on, and go on at once.
            if in_parts && let Some(part) = input.part(bytes_max).await {
                more = input.to != Some(part);
                input.to = Some(part);
            }
            inputs.insert(name.clone(), input);
        }
        crash::point("refresh.pinned", &model.name);
        let now = Utc::now().trunc_subsecs(6);
        Ok((self.member(model, action, target, inputs, now)?, more))
    }

    /// The step of a side table, pinned where its main table is.
    pub(crate) async fn pinned_beside<'a>(
        &'a self,
        side: &'a Model,
        action: &Action,
        main: &Job<'_>,
    ) -> Result<Member<'a>> {
        let target = self.lake().load_table(&side.name).await?;
        self.check_target(side, action, target.as_ref())?;
        let inputs = main.inputs.iter().filter(|(name, _)| side.inputs.contains(name));
        let inputs = inputs.map(|(name, input)| (name.clone(), input.clone())).collect();
        crash::point("refresh.pinned", &side.name);
        self.member(side, action, target, inputs, main.now)
    }

    fn check_target(&self, model: &Model, action: &Action, target: Option<&Table>) -> Result<()> {
        let Some(target) = target else { return Ok(()) };
        self.check_owner(target)?;
        self.still_planned(model, action, target)
    }

    fn member<'a>(
        &'a self,
        model: &'a Model,
        action: &Action,
        target: Option<Table>,
        inputs: Inputs,
        now: DateTime<Utc>,
    ) -> Result<Member<'a>> {
        let mut base = Bases::new();
        for (name, input) in &inputs {
            self.add_base(&mut base, name, &input.table, input.to)?;
        }
        let read = |(name, input): (&TableName, &Input)| {
            let ids: Vec<_> = input.from.into_iter().chain(input.to).map(|id| (name.clone(), id)).collect();
            ids
        };
        let _in_use = self.readers.reading(inputs.iter().flat_map(read).collect());
        let bytes_max = (self.config().run.memory_bytes_max / 8) as u64;
        let job = Job { ctx: self.context(), lake: self.lake(), model, inputs, base, now, bytes_max };
        Ok(Member { job, action: action.clone(), target, _in_use })
    }

    /// A delta is added to exactly the rows it was planned for: another commit in between would be counted twice, or
    /// forgotten.
    fn still_planned(&self, model: &Model, action: &Action, target: &Table) -> Result<()> {
        let stale = |facts: &TableFacts| {
            facts.recorded.as_ref().is_none_or(|r| {
                let stands_on = |read: &Read| r.sources.get(&read.table).and_then(|(_, id)| *id) == read.from;
                !action.reads().iter().all(stands_on)
            })
        };
        let moved = match action {
            Action::Refresh { .. } => {
                let facts = self.table_facts(&model.name, target)?;
                stale(&facts) || !planner::may_merge(&facts, model)
            }
            Action::Append { .. } => {
                let facts = self.table_facts(&model.name, target)?;
                facts.recorded.is_some() && stale(&facts)
            }
            Action::Create { .. } => target.head().is_some(),
            _ => false,
        };
        if moved {
            let reason = "it was committed to since it was planned".to_owned();
            return Err(PipelineError::Superseded { table: model.name.to_string(), reason });
        }
        Ok(())
    }

    /// An input must have the columns its SQL file says, or its dependents would read another table's rows.
    fn input_ready(&self, name: &TableName, table: &Table) -> Result<()> {
        let Some(model) = self.project().tables.get(name) else { return Ok(()) };
        if same_columns(&table.defined_schema(), &model.schema) {
            return Ok(());
        }
        Err(PipelineError::Stopped {
            code: "R0304",
            message: format!("the stored columns of \"{name}\" are not those of its SQL file yet"),
            hint: Some(format!("refresh \"{name}\" first; its own failure is reported beside this one")),
            retryable: true,
        })
    }

    /// Adds what an input stands on; inputs that disagree make the step wait.
    fn add_base(&self, base: &mut Bases, name: &TableName, table: &Table, to: Option<i64>) -> Result<()> {
        let Some(to) = to else { return Ok(()) };
        let is_base = self.project().tables.get(name).is_some_and(Model::is_base) || self.is_external(name);
        let stands_on = if is_base {
            Bases::from([(name.clone(), (table.uuid(), self.last_change(table, to)?))])
        } else {
            bases::of_view(name, table, to)?
        };
        bases::join(base, stands_on)
    }
}
