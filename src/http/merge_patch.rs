//! Changes of a record as a JSON merge patch (RFC 7396).

use std::{borrow::Cow, marker::PhantomData};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{json, problem::Problem};

/// A change of the editable view `T` of a record: members that are left out stay as they are, and a
/// member that is null goes back to its default.
#[derive(Deserialize)]
#[serde(transparent, bound = "")]
pub struct MergePatch<T> {
    members: Map<String, Value>,
    #[serde(skip)]
    view: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> MergePatch<T> {
    /// Returns the view with the changes.
    ///
    /// # Errors
    /// A field that the view does not know, or whose value does not fit.
    pub fn apply(&self, view: &T) -> Result<T, Problem> {
        let mut view = serde_json::to_value(view)
            .map_err(|error| Problem::internal(format!("a view is not JSON: {error}")))?;
        merge(&mut view, &self.members);
        json::from_value(view)
    }
}

fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                members.remove(name);
            }
            Value::Object(patch) => merge(members.entry(name).or_insert(Value::Null), patch),
            value => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The schema of the view, without required members and defaults.
impl<T: ToSchema> PartialSchema for MergePatch<T> {
    fn schema() -> RefOr<Schema> {
        let mut schema = T::schema();
        if let RefOr::T(Schema::Object(view)) = &mut schema {
            view.title = None;
            view.required.clear();
            view.description = Some(
                "What to change (RFC 7396). Fields that are left out stay as they are; a field \
                 that is null goes back to its default."
                    .to_owned(),
            );
            for property in view.properties.values_mut() {
                if let RefOr::T(Schema::Object(property)) = property {
                    property.default = None;
                }
            }
        }
        schema
    }
}

impl<T: ToSchema> ToSchema for MergePatch<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Patch", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_are_merged_as_in_the_rfc() {
        // The examples of RFC 7396, appendix A, whose patch is an object.
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            merge(&mut target, patch.as_object().unwrap());
            assert_eq!(target, expected, "{patch}");
        }
    }
}
