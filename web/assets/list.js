// Keeps lists of builds fresh: every element with data-refresh asks for its page again after so many seconds.
import { Looking, refresh } from './live.js'

for (const element of document.querySelectorAll('[data-refresh]')) {
  let timer
  const every = Number(element.dataset.refresh) * 1000
  const ask = () => refresh(location.href).catch(() => {}) // a server that is away may come back
  // The element itself may be exchanged: what holds it stays.
  new Looking(element.parentElement, () => { timer = setInterval(ask, every) }, () => clearInterval(timer))
}
