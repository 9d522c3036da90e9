use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task;
use tokio::time::timeout;

use super::{Entry, KvError};

/// How many entries are read, or received, at a time.
pub(in crate::kv) const PAGE: usize = 1024;

/// How many pages wait for whoever reads them.
const AHEAD: usize = 1;

/// The entries of a list, of one commit, sorted by key. They come page by page: a list that is long is nowhere as
/// a whole, unless somebody [collects](Self::all) it.
#[derive(Debug)]
pub struct Entries {
    /// The next page, if it is there already.
    page: Option<Vec<Entry>>,
    /// The pages after it; `None` if there are none.
    rest: Option<mpsc::Receiver<Page>>,
}

type Page = Result<Vec<Entry>, KvError>;

/// Where the pages of a list come from.
pub(in crate::kv) trait Source: Send + 'static {
    /// The next page.
    fn next_page(&mut self) -> impl Future<Output = Page> + Send;

    /// Whether there are no more.
    fn has_ended(&self) -> bool;
}

/// Sends the pages of a list. The list is cut off if this is dropped before it has [ended](Self::end).
#[derive(Debug)]
struct Pages(mpsc::Sender<Page>);

impl From<Vec<Entry>> for Entries {
    fn from(all: Vec<Entry>) -> Self {
        Self {
            page: Some(all),
            rest: None,
        }
    }
}

impl Entries {
    /// All that `source` has: the first page, and those after it as they are read, `within` that time.
    ///
    /// # Errors
    ///
    /// There is no first page.
    pub(in crate::kv) async fn of(
        mut source: impl Source,
        within: Duration,
    ) -> Result<Self, KvError> {
        let first = source.next_page().await?;
        if source.has_ended() {
            return Ok(first.into());
        }
        let (pages, entries) = Self::paged(first);
        task::spawn(async move {
            // Whoever reads no further must not keep what the source holds.
            let sent = timeout(within, pages.send_all(source)).await;
            match sent.unwrap_or_else(|late| Err(KvError::Unavailable(late.into()))) {
                Ok(()) => pages.end().await,
                Err(error) => pages.fail(error).await,
            }
        });
        Ok(entries)
    }

    /// Those of `first`, and then those that are sent.
    fn paged(first: Vec<Entry>) -> (Pages, Self) {
        let (pages, rest) = mpsc::channel(AHEAD);
        let entries = Self {
            page: Some(first),
            rest: Some(rest),
        };
        (Pages(pages), entries)
    }

    /// Whether the next page is the last one.
    #[must_use]
    pub fn is_one_page(&self) -> bool {
        self.rest.is_none()
    }

    /// The next page, which has at least one entry if it is not the first; `None` at the end.
    ///
    /// # Errors
    ///
    /// The rest cannot be read.
    pub async fn next_page(&mut self) -> Option<Result<Vec<Entry>, KvError>> {
        if let Some(page) = self.page.take() {
            return Some(Ok(page));
        }
        let page = self.rest.as_mut()?.recv().await;
        match page {
            Some(Ok(page)) if !page.is_empty() => return Some(Ok(page)),
            _ => self.rest = None,
        }
        match page {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Err(error)),
            // A list that ends early must not look like a shorter one.
            None => Some(Err(KvError::Unavailable("a list was cut off".into()))),
        }
    }

    /// All of them.
    ///
    /// # Errors
    ///
    /// They cannot be read to their end.
    pub async fn all(mut self) -> Result<Vec<Entry>, KvError> {
        let mut all = self.page.take().unwrap_or_default();
        while let Some(page) = self.next_page().await {
            all.extend(page?);
        }
        Ok(all)
    }
}

impl Pages {
    /// Sends what `source` has, as long as somebody wants it.
    async fn send_all(&self, mut source: impl Source) -> Result<(), KvError> {
        while !source.has_ended() {
            let page = source.next_page().await?;
            if !self.send(page).await {
                break;
            }
        }
        Ok(())
    }

    /// Sends a page, when there is room; `false` if nobody wants it any more.
    async fn send(&self, page: Vec<Entry>) -> bool {
        page.is_empty() || self.0.send(Ok(page)).await.is_ok()
    }

    /// There are no more.
    async fn end(self) {
        // Whoever has gone needs no end.
        let _ = self.0.send(Ok(Vec::new())).await;
    }

    /// The rest cannot be read.
    async fn fail(self, error: KvError) {
        let _ = self.0.send(Err(error)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> Vec<Entry> {
        let entry = |key: &&str| Entry {
            key: (*key).into(),
            value: "".into(),
            version: 1,
        };
        keys.iter().map(entry).collect()
    }

    #[tokio::test]
    async fn pages_are_one_list() {
        let (pages, entries) = Entries::paged(page(&["a"]));
        assert!(!entries.is_one_page());
        let sending = async {
            assert!(pages.send(page(&["b", "c"])).await);
            assert!(pages.send(page(&[])).await);
            assert!(pages.send(page(&["d"])).await);
            pages.end().await;
        };
        let ((), all) = tokio::join!(sending, entries.all());
        assert_eq!(all.unwrap(), page(&["a", "b", "c", "d"]));
    }

    #[tokio::test]
    async fn a_list_that_was_cut_off_is_an_error() {
        let (pages, mut entries) = Entries::paged(page(&["a"]));
        assert!(pages.send(page(&["b"])).await);
        drop(pages);
        assert_eq!(entries.next_page().await.unwrap().unwrap(), page(&["a"]));
        assert_eq!(entries.next_page().await.unwrap().unwrap(), page(&["b"]));
        let cut = entries.next_page().await.unwrap();
        assert!(matches!(cut, Err(KvError::Unavailable(_))), "{cut:?}");
        assert!(entries.next_page().await.is_none());
    }

    /// Ends well with as many pages, if it does.
    struct Numbered {
        left: usize,
        ends: bool,
    }

    impl Source for Numbered {
        async fn next_page(&mut self) -> Page {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => return Err(KvError::Unavailable("it is damaged".into())),
            }
            Ok(page(&["a"]))
        }

        fn has_ended(&self) -> bool {
            self.left == 0 && self.ends
        }
    }

    #[tokio::test]
    async fn what_comes_of_a_source_comes_of_its_list() {
        let list = async |left, ends| {
            let entries = Entries::of(Numbered { left, ends }, Duration::MAX).await?;
            entries.all().await
        };
        for pages in [1, 2, 5] {
            assert_eq!(list(pages, true).await.unwrap().len(), pages);
            let failed = list(pages, false).await.unwrap_err();
            assert!(format!("{failed:?}").contains("damaged"), "{failed:?}");
        }
        list(0, false).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_too_slow_is_cut_off_and_sees_it() {
        let source = Numbered {
            left: 5,
            ends: true,
        };
        let within = Duration::from_secs(60);
        let mut entries = Entries::of(source, within).await.unwrap();
        entries.next_page().await.unwrap().unwrap();
        tokio::time::sleep(2 * within).await;
        // What was ahead is there.
        entries.next_page().await.unwrap().unwrap();
        let late = entries.next_page().await.unwrap();
        assert!(matches!(late, Err(KvError::Unavailable(_))), "{late:?}");
    }

    #[tokio::test]
    async fn whoever_has_gone_is_sent_nothing() {
        let (pages, entries) = Entries::paged(page(&["a"]));
        drop(entries);
        assert!(!pages.send(page(&["b"])).await);
    }
}
