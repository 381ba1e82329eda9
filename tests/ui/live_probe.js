// Notes when the states of parties arrive in the page, and when the panel shows them.
window.__frames = [];
window.__shown = [];
const Native = window.WebSocket;
window.WebSocket = class extends Native {
  constructor(...args) {
    super(...args);
    if (String(args[0]).includes('/playground/live')) {
      this.addEventListener('message', event => {
        const frame = JSON.parse(event.data);
        if (frame.channel === 'parties') {
          window.__frames.push({ at: Date.now() / 1000, parties: frame.data.parties });
        }
      });
    }
  }
};
window.addEventListener('DOMContentLoaded', () => {
  new MutationObserver(() => {
    const parties = {};
    for (const row of document.querySelectorAll('.pg-Party')) {
      parties[row.dataset.party] = row.querySelector('.pg-Party-round')?.textContent ?? '';
    }
    window.__shown.push({ at: Date.now() / 1000, parties });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
});
