//! Finds the place of an address in a file of the MaxMind DB form (GeoLite2 City, DB-IP City Lite and others).
//!
//! Apart because only this file knows that form. Without a file nothing is known of places, which is no fault: events that
//! ask for one keep an empty output. The file is read into memory at start, because one that is changed under a mapping
//! would end the process; to use a newer file, start anew.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use maxminddb::Reader;
use protocol::record::Location;
use serde::Deserialize;

/// The language of names.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Names {
    en: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    names: Names,
    iso_code: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Postal {
    code: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Coordinates {
    longitude: Option<f64>,
    latitude: Option<f64>,
}

/// What is read of an entry.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    city: Named,
    subdivisions: Vec<Named>,
    country: Named,
    continent: Named,
    postal: Postal,
    location: Coordinates,
}

/// A file of places, or none.
#[derive(Default)]
pub struct Places(Option<Reader<Vec<u8>>>);

impl Places {
    /// Reads the file, if one is configured.
    ///
    /// # Errors
    /// When it can't be read or has another form.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let wrong = || format!("places.database: can't read {}", file.display());
        let bytes = std::fs::read(file).with_context(wrong)?;
        let reader = Reader::from_source(bytes).with_context(wrong)?;
        tracing::info!(file = %file.display(), kind = reader.metadata().database_type, "places known");
        Ok(Self(Some(reader)))
    }

    /// The place of an address; none when the file has none, or there is no file.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        let entry: Entry = self.0.as_ref()?.lookup(address.to_canonical()).ok()?.decode().ok()??;
        let location = Location {
            city: entry.city.names.en,
            // The largest comes first.
            province: entry.subdivisions.into_iter().next().and_then(|one| one.names.en),
            country: entry.country.names.en,
            country_code: entry.country.iso_code,
            continent: entry.continent.names.en,
            postal_code: entry.postal.code,
            coordinates: entry.location.longitude.zip(entry.location.latitude).map(<[f64; 2]>::from),
        };
        (location != Location::default()).then_some(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the values that a MaxMind DB holds, as its specification has them.
    #[derive(Default)]
    struct Written(Vec<u8>);

    impl Written {
        fn head(&mut self, kind: u8, size: usize) {
            let small = u8::try_from(size.min(29)).unwrap();
            if kind < 8 {
                self.0.push(kind << 5 | small);
            } else {
                self.0.extend([small, kind - 7]);
            }
            if size >= 29 {
                self.0.push(u8::try_from(size - 29).unwrap());
            }
        }

        fn text(mut self, text: &str) -> Self {
            self.head(2, text.len());
            self.0.extend(text.as_bytes());
            self
        }

        fn number(mut self, kind: u8, bytes: &[u8]) -> Self {
            self.head(kind, bytes.len());
            self.0.extend(bytes);
            self
        }

        fn double(self, value: f64) -> Self {
            self.number(3, &value.to_be_bytes())
        }

        fn map(mut self, size: usize) -> Self {
            self.head(7, size);
            self
        }

        fn list(mut self, size: usize) -> Self {
            self.head(11, size);
            self
        }

        fn named(self, name: &str) -> Self {
            self.text("names").map(1).text("en").text(name)
        }
    }

    /// A file that knows one network, 203.0.113.0/24.
    fn file() -> Vec<u8> {
        let bits = 24_u32;
        let mut bytes = Vec::new();
        for depth in 0..bits {
            let next = if depth + 1 == bits { bits + 16 } else { depth + 1 };
            let is_right = 0xcb00_7100_u32 >> (31 - depth) & 1 == 1;
            let (left, right) = if is_right { (bits, next) } else { (next, bits) };
            for record in [left, right] {
                bytes.extend(&record.to_be_bytes()[1..]);
            }
        }
        bytes.extend([0; 16]);
        let data = Written::default().map(6);
        let data = data.text("city").map(1).named("Berlin");
        let data = data.text("subdivisions").list(1).map(2).text("iso_code").text("BE").named("Land Berlin");
        let data = data.text("country").map(2).text("iso_code").text("DE").named("Germany");
        let data = data.text("continent").map(2).text("code").text("EU").named("Europe");
        let data = data.text("postal").map(1).text("code").text("10117");
        let data = data.text("location").map(2).text("latitude").double(52.5).text("longitude").double(13.4);
        bytes.extend(data.0);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let about = Written::default().map(9);
        let about = about.text("node_count").number(6, &[24]).text("record_size").number(5, &[24]);
        let about = about.text("ip_version").number(5, &[4]).text("database_type").text("Test-City");
        let about = about.text("languages").list(1).text("en").text("description").map(1).text("en").text("a test");
        let about = about.text("binary_format_major_version").number(5, &[2]);
        let about = about.text("binary_format_minor_version").number(5, &[]);
        let about = about.text("build_epoch").number(9, &[1]);
        bytes.extend(about.0);
        bytes
    }

    /// The file as tests of the whole server use it. `RIVULET_WRITE_DOCS=1` writes it.
    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/places.mmdb");

    #[test]
    fn the_fixture_is_the_file_that_is_written_here() {
        if std::env::var_os("RIVULET_WRITE_DOCS").is_some() {
            std::fs::write(FIXTURE, file()).unwrap();
        }
        assert!(std::fs::read(FIXTURE).is_ok_and(|found| found == file()), "{FIXTURE} is another file");
    }

    #[test]
    fn a_place_is_found_by_address_and_nothing_is_known_without_a_file() {
        let places = Places::open(Some(Path::new(FIXTURE))).unwrap();
        let berlin = Location {
            city: Some("Berlin".into()),
            province: Some("Land Berlin".into()),
            country: Some("Germany".into()),
            country_code: Some("DE".into()),
            continent: Some("Europe".into()),
            postal_code: Some("10117".into()),
            coordinates: Some([13.4, 52.5]),
        };
        for (address, expected) in [
            ("203.0.113.9", Some(berlin.clone())),
            ("::ffff:203.0.113.9", Some(berlin)),
            ("203.0.114.9", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(places.locate(address.parse().unwrap()), expected, "{address}");
            assert_eq!(Places::default().locate(address.parse().unwrap()), None);
        }
    }

    #[test]
    fn a_file_of_another_form_is_refused_by_name() {
        let error = Places::open(Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path())).err();
        assert!(error.is_some_and(|error| format!("{error:#}").contains("places.database")));
    }
}
