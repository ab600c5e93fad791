//! Which properties each collection has, and of which type, in Keen's words.
//!
//! A property's type is that of its first value that isn't null. The first so many paths of a collection may have
//! columns; the rest never do, whoever sends them.

use ahash::AHashMap;
use protocol::row::{Cell, Row};
use protocol::{CollectionName, ProjectId, PropertyPath};

use crate::manifest;

/// A collection of a project.
pub(crate) type Owner = (ProjectId, CollectionName);

/// Keen's names of types.
const TYPES: [&str; 7] = ["null", "num", "string", "bool", "datetime", "array", "geo"];
const NULL: &str = "null";
/// The one property whose lists are places.
const GEO_PATH: &str = "keen.location.coordinates";

/// The properties of all collections.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    by_owner: AHashMap<Owner, Schema>,
}

/// The properties of one collection.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    places: AHashMap<PropertyPath, usize>,
    properties: Vec<(PropertyPath, &'static str)>,
}

impl Schemas {
    /// From the manifest.
    pub(crate) fn load(collections: &[manifest::Collection]) -> Self {
        let mut schemas = Self::default();
        for known in collections {
            let schema = schemas.by_owner.entry((known.project.clone(), known.collection.clone())).or_default();
            for (path, text) in &known.properties {
                let kind = TYPES.into_iter().find(|kind| kind == text).unwrap_or(NULL);
                schema.places.insert(path.clone(), schema.properties.len());
                schema.properties.push((path.clone(), kind));
            }
        }
        schemas
    }

    /// For the manifest, always in the same order.
    pub(crate) fn save(&self) -> Vec<manifest::Collection> {
        let mut owners: Vec<_> = self.by_owner.iter().collect();
        owners.sort_by_key(|(owner, _)| *owner);
        let text = |(path, kind): &(PropertyPath, &'static str)| (path.clone(), (*kind).to_owned());
        owners
            .into_iter()
            .map(|((project, collection), schema)| manifest::Collection {
                project: project.clone(),
                collection: collection.clone(),
                properties: schema.properties.iter().map(text).collect(),
            })
            .collect()
    }

    /// Learns from rows of one collection.
    pub(crate) fn learn(&mut self, owner: &Owner, rows: &[Row], columns_max: usize) {
        let schema = match self.by_owner.get_mut(owner) {
            Some(schema) => schema,
            None => self.by_owner.entry(owner.clone()).or_default(),
        };
        for (path, cell) in rows.iter().flat_map(|row| &row.cells) {
            schema.learn(path, cell, columns_max);
        }
    }

    /// Forgets the properties of a collection that are gone, or the whole collection.
    pub(crate) fn forget(&mut self, owner: &Owner, is_gone: &dyn Fn(&PropertyPath) -> bool, whole: bool) {
        if whole {
            self.by_owner.remove(owner);
        } else if let Some(schema) = self.by_owner.get_mut(owner) {
            schema.properties.retain(|(path, _)| !is_gone(path));
            let paths = schema.properties.iter().enumerate();
            schema.places = paths.map(|(place, (path, _))| (path.clone(), place)).collect();
        }
    }

    /// The properties of a collection.
    pub(crate) fn get(&self, owner: &Owner) -> Option<&Schema> {
        self.by_owner.get(owner)
    }

    /// The collections of a project with their properties, in order of name.
    pub(crate) fn of_project(&self, project: &ProjectId) -> Vec<(CollectionName, Vec<(PropertyPath, &'static str)>)> {
        let own = [("keen.id", "string"), ("keen.timestamp", "datetime"), ("keen.created_at", "datetime")];
        let own = own.map(|(path, kind)| (PropertyPath::from_checked(path), kind));
        let mut found: Vec<_> = self
            .by_owner
            .iter()
            .filter(|((of, _), _)| of == project)
            .map(|((_, name), schema)| {
                (name.clone(), own.iter().cloned().chain(schema.properties.iter().cloned()).collect::<Vec<_>>())
            })
            .collect();
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found
    }
}

impl Schema {
    /// Whether a property is among those that may have columns.
    pub(crate) fn has(&self, path: &PropertyPath) -> bool {
        self.places.contains_key(path)
    }

    fn learn(&mut self, path: &PropertyPath, cell: &Cell, columns_max: usize) {
        match self.places.get(path) {
            Some(place) => {
                if let Some((_, kind)) = self.properties.get_mut(*place)
                    && *kind == NULL
                {
                    *kind = type_of(path, cell);
                }
            }
            None if self.properties.len() < columns_max => {
                self.places.insert(path.clone(), self.properties.len());
                self.properties.push((path.clone(), type_of(path, cell)));
            }
            None => {}
        }
    }
}

fn type_of(path: &PropertyPath, cell: &Cell) -> &'static str {
    match cell {
        Cell::Null => NULL,
        Cell::Bool(_) => "bool",
        Cell::Int(_) | Cell::Float(_) => "num",
        Cell::Text(text) if query::instant_of(text).is_some() => "datetime",
        Cell::Text(_) => "string",
        Cell::List(_) if path.as_str() == GEO_PATH => "geo",
        // An empty object has no property of its own, and no type that a later value could not have.
        Cell::List(text) if text == "{}" => NULL,
        Cell::List(_) => "array",
    }
}
