//! The sample campaign site: its pages, what each needs, and how popular each is.
//!
//! Pure data, used twice: visitors walk it, and the demo's origin serves it. A path named here
//! exists there.

use fastrand::Rng;

use crate::chance::{Weighted, word};
use crate::profile::Target;
use crate::request::Text;

/// Assets a site may have: sessions keep what they hold as bits of one word.
pub const ASSETS_MAX: usize = 64;

/// How long a client may use its copy.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// Without asking.
    Immutable,
    /// After asking with If-None-Match.
    Revalidate,
}

/// Something a page needs.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Path.
    pub path: String,
    /// What it is.
    pub target: Target,
    /// How long a copy may be used.
    pub freshness: Freshness,
    /// Its tag, quoted.
    pub etag: String,
}

/// A value that differs from visit to visit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum QueryKind {
    /// `q=` with words somebody might look for.
    Search,
    /// `page=` with a small number.
    PageNumber,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Path.
    pub path: String,
    /// Heading.
    pub title: String,
    /// Query, for pages that have one.
    pub query: Option<QueryKind>,
    /// Indices into [`Site::assets`].
    pub assets: Vec<usize>,
    /// Data its script asks for every few seconds while the page is open.
    pub poll: Option<&'static str>,
    /// Relative popularity.
    pub weight: f64,
}

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    /// Host name.
    pub host: String,
    /// Pages.
    pub pages: Vec<Page>,
    /// Assets, at most [`ASSETS_MAX`].
    pub assets: Vec<Asset>,
    /// Path of the feed.
    pub feed: &'static str,
    popularity: Weighted<usize>,
}

/// Words that people look for.
const SEARCHES: [&str; 24] = [
    "nhs",
    "housing",
    "bus routes",
    "candidates",
    "polling station",
    "postal vote",
    "schools",
    "council tax",
    "potholes",
    "climate",
    "manifesto",
    "volunteer",
    "library",
    "cycling",
    "social care",
    "rent",
    "recycling",
    "events",
    "hustings",
    "leaflets",
    "childcare",
    "high street",
    "flooding",
    "hospital",
];

/// The page on which results are published.
pub const RESULTS: &str = "/results";

impl Site {
    /// The sample campaign site.
    pub fn campaign() -> Self {
        let mut build = Builder::default();
        let style = build.asset("/assets/site.css", Target::Style, Freshness::Immutable);
        let print = build.asset("/assets/print.css", Target::Style, Freshness::Immutable);
        let script = build.asset("/assets/site.js", Target::Script, Freshness::Immutable);
        let menu = build.asset("/assets/menu.js", Target::Script, Freshness::Immutable);
        let logo = build.asset("/assets/logo.svg", Target::Image, Freshness::Revalidate);
        let icon = build.asset("/favicon.svg", Target::Image, Freshness::Immutable);
        build.common = vec![style, print, script, menu, logo, icon];

        let hero = build.image("hero");
        let people = build.image("people");
        let map = build.image("map");
        build.page("/", "A fair chance for Ashbourne", 0, &[hero, people]);
        build.page("/manifesto", "Our manifesto", 2, &[hero]);
        build.page("/candidates", "Our candidates", 1, &[people]);
        build.page("/events", "Events", 4, &[map]);
        build.page("/news", "News", 3, &[]);
        for (rank, (slug, title)) in [
            ("2025/11/18/polls-open-thursday", "Polls open on Thursday"),
            ("2025/11/17/hospital-petition", "Twelve thousand sign the hospital petition"),
            ("2025/11/14/bus-lane-vote", "How the bus lane vote went"),
            ("2025/11/11/housing-plan", "Four hundred homes people can afford"),
            ("2025/11/07/hustings-report", "What was said at the hustings"),
            ("2025/11/03/school-meals", "School meals: our answer"),
            ("2025/10/29/flood-walls", "Flood walls before winter"),
            ("2025/10/22/library-hours", "Library hours restored"),
            ("2025/10/15/town-hall", "The town hall must be repaired"),
            ("2025/10/08/first-leaflet", "The first leaflet is out"),
        ]
        .into_iter()
        .enumerate()
        {
            let image = build.image(&format!("news-{}", rank + 1));
            build.page(&format!("/news/{slug}"), title, 5 + rank * 2, &[image]);
        }
        for (rank, (slug, name)) in [
            ("amina-khan", "Amina Khan"),
            ("robert-ellis", "Robert Ellis"),
            ("siobhan-doyle", "Siobhan Doyle"),
            ("tomasz-nowak", "Tomasz Nowak"),
            ("grace-adeyemi", "Grace Adeyemi"),
            ("peter-hughes", "Peter Hughes"),
        ]
        .into_iter()
        .enumerate()
        {
            let image = build.image(&format!("portrait-{}", rank + 1));
            build.page(&format!("/candidates/{slug}"), name, 7 + rank * 3, &[image]);
        }
        for (rank, (number, title)) in
            [(41, "Canvassing, Saturday"), (42, "Hustings at St Oswald's"), (43, "Count night")]
                .into_iter()
                .enumerate()
        {
            build.page(&format!("/events/{number}"), title, 9 + rank * 5, &[map]);
        }
        for (rank, (path, title)) in [
            ("/volunteer", "Volunteer"),
            ("/donate", "Donate"),
            ("/where-to-vote", "Where to vote"),
            ("/postal-vote", "Voting by post"),
            ("/about", "Who we are"),
            ("/contact", "Write to us"),
            ("/press", "For the press"),
            ("/accessibility", "Accessibility"),
            ("/privacy", "Privacy"),
            (RESULTS, "Results"),
        ]
        .into_iter()
        .enumerate()
        {
            build.page(path, title, 6 + rank * 3, &[]);
        }
        build.with_query("/search", "Search", 8, QueryKind::Search);
        build.with_query("/events", "Events", 14, QueryKind::PageNumber);
        build.with_query("/news", "News", 12, QueryKind::PageNumber);
        build.finish("ashbourne-together.example")
    }

    /// A page as popular as it is.
    pub fn draw_page(&self, rng: &mut Rng) -> usize {
        *self.popularity.draw(rng)
    }

    /// The page at this path that has no query.
    pub fn page_at(&self, path: &str) -> Option<usize> {
        self.pages.iter().position(|page| page.path == path && page.query.is_none())
    }

    /// The page that a link to this path leads to: the plain one, or else the one with a query.
    pub fn landing(&self, path: &str) -> Option<usize> {
        self.page_at(path).or_else(|| self.pages.iter().position(|page| page.path == path))
    }

    /// Query of a visit to `page`, without `?`.
    pub fn draw_query(&self, page: usize, rng: &mut Rng) -> Option<Text> {
        Some(match self.pages[page].query? {
            QueryKind::PageNumber => format!("page={}", rng.u32(2..=6)).into(),
            QueryKind::Search if rng.u32(..5) == 0 => format!("q={}", word(rng, 4..=11)).into(),
            QueryKind::Search => {
                let words = SEARCHES[rng.usize(..SEARCHES.len())];
                format!("q={}", words.replace(' ', "+")).into()
            }
        })
    }
}

#[derive(Default)]
struct Builder {
    pages: Vec<Page>,
    assets: Vec<Asset>,
    common: Vec<usize>,
}

impl Builder {
    fn asset(&mut self, path: &str, target: Target, freshness: Freshness) -> usize {
        let etag = format!("\"{:x}-1\"", 0x5f00 + self.assets.len());
        self.assets.push(Asset { path: path.to_owned(), target, freshness, etag });
        self.assets.len() - 1
    }

    fn image(&mut self, name: &str) -> usize {
        let path = format!("/images/{name}.svg");
        match self.assets.iter().position(|asset| asset.path == path) {
            Some(index) => index,
            None => self.asset(&path, Target::Image, Freshness::Immutable),
        }
    }

    /// Popularity falls with `rank` as Zipf has it, exponent 0.9.
    fn page(&mut self, path: &str, title: &str, rank: usize, own: &[usize]) {
        let mut assets = self.common.clone();
        assets.extend_from_slice(own);
        let weight = (1.0 + rank as f64).powf(-0.9);
        let poll = (path == RESULTS || path == "/events/43").then_some("/api/count.json");
        let (path, title) = (path.to_owned(), title.to_owned());
        self.pages.push(Page { path, title, query: None, assets, poll, weight });
    }

    fn with_query(&mut self, path: &str, title: &str, rank: usize, query: QueryKind) {
        self.page(path, title, rank, &[]);
        if let Some(page) = self.pages.last_mut() {
            page.query = Some(query);
        }
    }

    fn finish(self, host: &str) -> Site {
        let weights = self.pages.iter().enumerate().map(|(i, page)| (i, page.weight));
        let popularity = Weighted::new(weights).expect("the table above has pages");
        Site {
            host: host.to_owned(),
            pages: self.pages,
            assets: self.assets,
            feed: "/feed.xml",
            popularity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_pages_are_popular_and_dozens_are_not() {
        let site = Site::campaign();
        assert!((30..60).contains(&site.pages.len()));
        assert!(site.assets.len() <= ASSETS_MAX);
        let mut rng = Rng::with_seed(1);
        let mut counts = vec![0; site.pages.len()];
        for _ in 0..20_000 {
            counts[site.draw_page(&mut rng)] += 1;
        }
        assert!(counts.iter().all(|count| *count > 0));
        assert!(counts[0] > 2_000 && counts.iter().min().unwrap() < &250);
    }

    #[test]
    fn every_page_has_its_assets_and_paths_are_unique() {
        let site = Site::campaign();
        for (i, page) in site.pages.iter().enumerate() {
            assert!(page.assets.len() >= 6 && page.assets.iter().all(|a| *a < site.assets.len()));
            let same = |p: &Page| p.path == page.path && p.query == page.query;
            assert!(!site.pages[..i].iter().any(same), "{}", page.path);
        }
        assert!(site.page_at(RESULTS).is_some());
        assert!(site.page_at("/search").is_none());
        assert!(site.landing("/search").is_some_and(|at| site.pages[at].query.is_some()));
        assert_eq!(site.landing("/news"), site.page_at("/news"));
    }
}
