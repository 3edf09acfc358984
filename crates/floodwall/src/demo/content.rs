//! The sample site's files, made once and kept in memory.
//!
//! Every path of the traffic model's site is really there: a visitor with a browser sees a small,
//! whole site, and every request of the load generator is answered with what it asked for.

use std::collections::HashMap;
use std::fmt::Write as _;

use floodwall_sim::Site;
use floodwall_sim::profile::Target;
use floodwall_sim::site::{Freshness, RESULTS};

/// A file of the site.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// Content-Type.
    pub(super) media_type: &'static str,
    /// Cache-Control.
    pub(super) cache: &'static str,
    /// Its tag, quoted; `None` for what is composed for every visit.
    pub(super) etag: Option<String>,
    /// Whether it is composed for every visit, which is what costs.
    pub(super) page: bool,
    /// Content. A page with a search keeps [`QUERY_MARK`] where the visitor's words go.
    pub(super) body: Vec<u8>,
}

/// Stands for the visitor's words in a page.
pub(super) const QUERY_MARK: &str = "{{query}}";

/// All files by path.
pub(super) fn resources(site: &Site) -> HashMap<String, Resource> {
    let mut all = HashMap::new();
    for asset in &site.assets {
        let (media_type, body) = match asset.target {
            Target::Style => ("text/css; charset=utf-8", style(&asset.path)),
            Target::Script => ("text/javascript; charset=utf-8", script(&asset.path)),
            _ => ("image/svg+xml", picture(&asset.path)),
        };
        let cache = match asset.freshness {
            Freshness::Immutable => "public, max-age=86400",
            Freshness::Revalidate => "no-cache",
        };
        let etag = Some(asset.etag.clone());
        let body = body.into_bytes();
        all.insert(asset.path.clone(), Resource { media_type, cache, etag, page: false, body });
    }
    for page in &site.pages {
        // Pages that differ only in their query share one file.
        all.entry(page.path.clone()).or_insert_with(|| Resource {
            media_type: "text/html; charset=utf-8",
            cache: "no-store",
            etag: None,
            page: true,
            body: html(site, &page.path, &page.title).into_bytes(),
        });
    }
    let other = |media_type, body: String| Resource {
        media_type,
        cache: "no-cache",
        etag: None,
        page: false,
        body: body.into_bytes(),
    };
    all.insert(site.feed.to_owned(), other("application/rss+xml; charset=utf-8", feed(site)));
    let count = "{\"districts_counted\": 17, \"districts\": 24}\n".to_owned();
    all.insert("/api/count.json".to_owned(), other("application/json", count));
    all
}

fn style(path: &str) -> String {
    if path.ends_with("print.css") {
        include_str!("pages/print.css")
    } else {
        include_str!("pages/site.css")
    }
    .to_owned()
}

fn script(path: &str) -> String {
    if path.ends_with("menu.js") {
        include_str!("pages/menu.js")
    } else {
        include_str!("pages/site.js")
    }
    .to_owned()
}

/// Pictures are drawn from their names, so that each is its own and none has to be kept as a file.
fn picture(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".svg");
    let seed = name.bytes().fold(7u32, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
    match name {
        "logo" => "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 220 40\"><circle cx=\"20\" cy=\"20\" r=\"16\" fill=\"#f2b632\"/><path d=\"M4 30 Q20 12 36 30Z\" fill=\"#1f7a5a\"/><text x=\"46\" y=\"26\" font-family=\"Georgia,serif\" font-size=\"17\" fill=\"#1f7a5a\">Ashbourne Together</text></svg>".to_owned(),
        "favicon" => "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 40\"><circle cx=\"20\" cy=\"20\" r=\"18\" fill=\"#f2b632\"/><path d=\"M3 30 Q20 8 37 30Z\" fill=\"#1f7a5a\"/></svg>".to_owned(),
        _ if name.starts_with("portrait") || name == "people" => portraits(seed, if name == "people" { 5 } else { 1 }),
        "map" => map(seed),
        _ => hills(seed),
    }
}

/// A few numbers below `bound` that follow from `seed`.
fn numbers(mut seed: u32, bound: u32) -> impl Iterator<Item = u32> {
    std::iter::repeat_with(move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % bound
    })
}

fn hills(seed: u32) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 320\"><rect width=\"960\" height=\"320\" fill=\"#dfeaf0\"/>",
    );
    let sun = 120 + seed % 700;
    let _ = write!(svg, "<circle cx=\"{sun}\" cy=\"90\" r=\"46\" fill=\"#f2b632\"/>");
    let mut heights = numbers(seed, 90);
    for (layer, colour) in ["#a9cdbd", "#6aa98d", "#1f7a5a"].iter().enumerate() {
        let base = 190 + layer as u32 * 45;
        let _ = write!(svg, "<path fill=\"{colour}\" d=\"M0 320 V{base}");
        for step in 1..=6 {
            let (x, y) = (step * 160, base - heights.next().unwrap_or(0) / (layer as u32 + 1));
            let _ = write!(svg, " S{} {y} {x} {}", x - 60, base - 10);
        }
        svg.push_str(" V320 Z\"/>");
    }
    svg.push_str("</svg>");
    svg
}

fn portraits(seed: u32, count: u32) -> String {
    let width = count * 160;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} 200\"><rect width=\"{width}\" height=\"200\" fill=\"hsl({} 30% 88%)\"/>",
        seed % 360
    );
    let tones = ["#8d5a3b", "#c68e63", "#e0b48c", "#5f3c26", "#f0cfae"];
    let coats = ["#1f7a5a", "#35527a", "#8c3b3b", "#6b5b95", "#b5852b"];
    let mut draws = numbers(seed, 5);
    for at in 0..count {
        let x = at * 160 + 80;
        let mut of = |list: [&'static str; 5]| list[draws.next().unwrap_or(0) as usize % 5];
        let _ = write!(
            svg,
            "<path d=\"M{} 200 Q{x} 96 {} 200Z\" fill=\"{}\"/><circle cx=\"{x}\" cy=\"88\" r=\"34\" fill=\"{}\"/>",
            x - 62,
            x + 62,
            of(coats),
            of(tones)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn map(seed: u32) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 320\"><rect width=\"960\" height=\"320\" fill=\"#eef1e6\"/><path d=\"M0 210 C240 150 420 290 960 190\" fill=\"none\" stroke=\"#9cc4dd\" stroke-width=\"26\"/>",
    );
    let mut draws = numbers(seed, 960);
    for _ in 0..9 {
        let (a, b) = (draws.next().unwrap_or(0), draws.next().unwrap_or(0));
        let _ = write!(svg, "<path d=\"M{a} 0 L{b} 320\" stroke=\"#fff\" stroke-width=\"8\"/>");
    }
    svg.push_str("<circle cx=\"500\" cy=\"150\" r=\"12\" fill=\"#8c3b3b\"/></svg>");
    svg
}

fn html(site: &Site, path: &str, title: &str) -> String {
    let mut pictures = String::new();
    let page = site.pages.iter().find(|page| page.path == path);
    let own = page.map_or(&[][..], |page| &page.assets[..]);
    for asset in own.iter().map(|index| &site.assets[*index]) {
        if asset.path.starts_with("/images/") {
            let _ = write!(pictures, "<img class=\"picture\" src=\"{}\" alt=\"\">", asset.path);
        }
    }
    include_str!("pages/frame.html")
        .replace("{{title}}", title)
        .replace("{{pictures}}", &pictures)
        .replace("{{text}}", &text(site, path, title))
}

fn text(site: &Site, path: &str, title: &str) -> String {
    let section = |prefix: &str| {
        let mut list = String::from("<ul class=\"list\">");
        for page in site.pages.iter().filter(|p| p.path.starts_with(prefix) && p.path != prefix) {
            let _ = write!(list, "<li><a href=\"{}\">{}</a></li>", page.path, page.title);
        }
        list + "</ul>"
    };
    match path {
        "/" => format!(
            "<p>Ashbourne has waited long enough: for a bus that comes, a surgery that answers, \
             homes that people who work here can afford. On Thursday you decide.</p>\
             <p><a href=\"/where-to-vote\">Where do I vote?</a> · \
             <a href=\"/postal-vote\">Voting by post</a> · <a href=\"/donate\">Donate</a></p>\
             <h2>News</h2>{}",
            section("/news/")
        ),
        "/news" => section("/news/"),
        "/candidates" => section("/candidates/"),
        "/events" => section("/events/"),
        "/search" => format!(
            "<form action=\"/search\"><input name=\"q\" aria-label=\"Words\" value=\"{QUERY_MARK}\">\
             <button>Search</button></form><h2>Pages</h2>{}",
            section("/")
        ),
        RESULTS => "<p>Districts counted so far:</p>\
             <p class=\"count\" data-count=\"/api/count.json\" aria-live=\"polite\">17</p>\
             <p>of 24. The figure renews itself while this page is open; nobody needs to reload.</p>"
            .to_owned(),
        "/manifesto" => "<h2>Homes</h2><p>Four hundred homes in five years, half of them to rent \
             from the council, on land the town already owns.</p><h2>Buses</h2><p>Every quarter of \
             an hour until eleven at night, on one ticket.</p><h2>Health</h2><p>A walk-in surgery \
             in the old post office.</p><h2>Open books</h2><p>Every contract above £5,000 \
             published within a month.</p>"
            .to_owned(),
        _ => format!(
            "<p>{title}: what we know, what we think, and what you can do about it.</p>\
             <p>The council publishes its papers a week ahead. We read them, ask about them in \
             public, and print the answers here, with the names of those who gave them.</p>\
             <h2>Take part</h2><p><a href=\"/volunteer\">Give an evening</a>, \
             <a href=\"/events\">come to a meeting</a>, or <a href=\"/contact\">write to us</a>.</p>"
        ),
    }
}

fn feed(site: &Site) -> String {
    let host = &site.host;
    let mut rss = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<rss version=\"2.0\"><channel>\
         <title>Ashbourne Together</title><link>https://{host}/</link>\
         <description>News of the campaign</description>\n"
    );
    for page in site.pages.iter().filter(|page| page.path.starts_with("/news/")) {
        let link = format!("https://{host}{}", page.path);
        let _ = writeln!(
            rss,
            "<item><title>{}</title><link>{link}</link><guid>{link}</guid></item>",
            page.title
        );
    }
    rss + "</channel></rss>\n"
}

/// Text for HTML. What a stranger searched for is shown to him as he typed it and does nothing.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '+' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use floodwall_sim::site::QueryKind;

    use super::*;

    #[test]
    fn everything_the_traffic_model_asks_for_is_there() {
        let site = Site::campaign();
        let all = resources(&site);
        for page in &site.pages {
            let resource = &all[&page.path];
            let body = String::from_utf8_lossy(&resource.body);
            assert!(resource.page && body.contains(&page.title), "{}", page.path);
            for asset in &page.assets {
                let path = &site.assets[*asset].path;
                assert!(all.contains_key(path) && body.contains(path), "{} {path}", page.path);
            }
            if let Some(poll) = page.poll {
                assert!(all.contains_key(poll));
            }
            assert!(page.query != Some(QueryKind::Search) || body.contains(QUERY_MARK));
        }
        assert!(all.contains_key(site.feed));
    }

    #[test]
    fn every_link_in_every_page_leads_somewhere() {
        let site = Site::campaign();
        let all = resources(&site);
        for (path, resource) in all.iter().filter(|(_, r)| r.page) {
            let body = String::from_utf8_lossy(&resource.body);
            for (_, rest) in body.match_indices("=\"/").map(|(at, _)| body.split_at(at + 2)) {
                let link = rest.split('"').next().unwrap_or("");
                assert!(all.contains_key(link), "{path} links to {link}");
            }
        }
    }

    #[test]
    fn pictures_differ_and_are_whole() {
        let all = resources(&Site::campaign());
        let pictures: Vec<&[u8]> = all
            .values()
            .filter(|r| r.media_type == "image/svg+xml")
            .map(|r| r.body.as_slice())
            .collect();
        assert!(pictures.iter().all(|svg| svg.ends_with(b"</svg>")));
        for (i, picture) in pictures.iter().enumerate() {
            assert!(!pictures[..i].contains(picture));
        }
    }

    #[test]
    fn strangers_words_are_shown_and_do_nothing() {
        assert_eq!(escaped("<b>\"tea\"+&"), "&lt;b&gt;&quot;tea&quot; &amp;");
    }
}
