// Marks where the visitor is, and keeps the count up to date while the page is open.
(function () {
  var links = document.querySelectorAll("nav a");
  for (var i = 0; i < links.length; i++) {
    if (links[i].getAttribute("href") === location.pathname) {
      links[i].setAttribute("aria-current", "page");
    }
  }
  var count = document.querySelector("[data-count]");
  if (!count) return;
  setInterval(function () {
    fetch(count.dataset.count)
      .then(function (answer) { return answer.ok ? answer.json() : null; })
      .then(function (news) { if (news) count.textContent = news.districts_counted; })
      .catch(function () {});
  }, 5000);
})();
