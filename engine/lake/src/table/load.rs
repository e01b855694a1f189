//! Tables by their names: loaded, dropped, and where they are put.
//!
//! Invariants
//! * `load_tables` gives versions that were current at the same moment; one table that cannot be read is its own error.
//! * A table that was registered from elsewhere keeps its files when it is dropped.
//!
//! Not here: making one (`commit::create`), which version is current (`catalog`).

use ingot_model::TableName;
use object_store::path::Path;

use crate::catalog::version::Version;
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::{Table, expired_ancestors, owner};

impl Lake {
    /// The current version of a table.
    ///
    /// # Errors
    /// The catalog's; `UnreadableTable` with the table's name and what is wrong with its metadata.
    pub async fn load_table(&self, name: &TableName) -> Result<Option<Table>> {
        match self.0.catalog.load(name).await? {
            Some(version) => self.table_of(name, version).await.map(Some),
            None => Ok(None),
        }
    }

    /// The versions of some tables that were current at one moment, in the order asked for. A table that cannot be read
    /// is an error in its own place and no other's.
    ///
    /// # Errors
    /// The catalog's. In a table's place: as `load_table`.
    pub async fn load_tables(&self, names: &[TableName]) -> Result<Vec<Result<Option<Table>>>> {
        let versions = self.0.catalog.load_many(names).await?;
        let tables = names.iter().zip(versions).map(|(name, version)| async move {
            match version? {
                Some(version) => self.table_of(name, version).await.map(Some),
                None => Ok(None),
            }
        });
        Ok(futures::future::join_all(tables).await)
    }

    /// Removes a table, whatever it now holds, from the catalog and its files from the store.
    ///
    /// # Errors
    /// `TableMissing`; `OtherOwner`; the catalog's and the store's.
    pub async fn drop_table(&self, name: &TableName) -> Result<()> {
        if let (Some(project), Ok(Some(table))) = (&self.0.owner, self.load_table(name).await) {
            owner::check(&table, project)?;
        }
        while let Some(location) = self.0.catalog.location(name).await? {
            if self.drop_version(name, &location).await? {
                return Ok(());
            }
        }
        Err(LakeError::TableMissing(name.clone()))
    }

    async fn drop_version(&self, name: &TableName, location: &str) -> Result<bool> {
        let folder = self.table_location(name)?;
        // Only what this lake made where it makes tables: a table registered from elsewhere keeps its files. They are
        // listed now: once the row is gone, another process may make the table anew in the same folder.
        let files = match self.owns_folder(name, location).await? {
            true => {
                let root = self.object_path(&folder)?;
                let below = self.0.store.below(&folder).await?;
                below.into_iter().filter(|file| is_own_place(&root, file)).collect()
            }
            false => Vec::new(),
        };
        crash::point("drop.before_catalog", name);
        if !self.0.catalog.drop_table(name, location).await? {
            return Ok(false);
        }
        crash::point("drop.after_catalog", name);
        self.0.store.delete_files(&folder, files).await?;
        Ok(true)
    }

    /// Whether a table, whose version is at a location, is where this lake puts it, and no other table of the catalog is in
    /// its folder: one that was renamed stays where it was made.
    pub(crate) async fn owns_folder(&self, name: &TableName, location: &str) -> Result<bool> {
        let own = format!("{}/metadata/", self.table_location(name)?);
        let tables = self.0.catalog.located().await?;
        Ok(location.starts_with(&own) && tables.iter().all(|(other, at)| other == name || !at.starts_with(&own)))
    }

    /// Where a table of this name is put.
    pub(crate) fn table_location(&self, name: &TableName) -> Result<String> {
        for part in name.namespace.levels().chain([name.name.as_str()]) {
            let plain = !part.is_empty()
                && part != "."
                && !part.contains(['/', '\\', '.', '"'])
                && !part.chars().any(char::is_control);
            if !plain {
                return Err(LakeError::Definition(format!(
                    "table \"{name}\": \"{part}\" cannot be part of a table's location"
                )));
            }
        }
        let folders: Vec<&str> = name.namespace.levels().collect();
        Ok(format!("{}/{}/{}", self.config().warehouse, folders.join("/"), name.name))
    }

    /// The table that a version describes.
    async fn table_of(&self, name: &TableName, version: Version) -> Result<Table> {
        let location = version.location.clone();
        let table = async {
            let expired = expired_ancestors::expired(self, name, &version.metadata).await?;
            let Version { metadata, location, unread } = version;
            Ok(Table::new(self.clone(), name.clone(), metadata, location)?.with_expired(expired).with_unread(unread))
        };
        table.await.map_err(|error: LakeError| error.of_table(name, &location))
    }
}

/// Whether a file lies where this engine puts files of the table in a folder, and where no table below it has any (`a.b.c`
/// is below `a.b`): `metadata/file`, `data/file`, `data/9f/file`.
pub(crate) fn is_own_place(folder: &Path, file: &Path) -> bool {
    let Some(rest) = file.prefix_match(folder) else { return false };
    let parts: Vec<_> = rest.collect();
    let is_hash = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts.as_slice() {
        [of, _] => matches!(of.as_ref(), "data" | "metadata"),
        [of, hash, _] => of.as_ref() == "data" && is_hash(hash.as_ref()),
        _ => false,
    }
}
