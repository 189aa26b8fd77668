// Makes the page of a build live. Without it the page is whole, and shows how things were when it was made.
import { Calm, Looking, Stream, refresh } from './live.js'
import { Log } from './log.js'
import { Screen } from './screen.js'
import { Console } from './console.js'
import { Keys } from './keys.js'
import { tabs } from './tabs.js'

const page = document.getElementById('build')
const base = location.pathname.replace(/\/+$/, '')
const live = 'live' in page.dataset

const status = new Calm(() => refresh(`${base}/status`), 700)
const machine = look()
if (live) follow()

// follow appends to the log and keeps the status fresh until the build ends.
function follow() {
  const log = new Log()
  let timer
  const events = new Stream(`${base}/events`, page.dataset.offset, {
    line: (line) => {
      log.line(line)
      if (document.querySelector('#ask section')) status.want() // an answer is told by what follows it
    },
    progress: (progress) => log.progress(progress),
    change: () => status.want(),
    ended: () => {
      log.progress()
      clearInterval(timer)
      for (const part of machine) part.end()
      status.want()
    },
  })
  new Looking(page, () => {
    events.start()
    if (!events.ended) timer = setInterval(() => status.want(), 5000) // times grow
  }, () => {
    events.stop()
    clearInterval(timer)
  })
}

// look shows the machine: its screen, or its serial console in another tab. It returns what ends with the machine.
function look() {
  if (!document.getElementById('machine')) return []
  const serial = document.getElementById('serial')
  const only = !live && document.getElementById('picture').hidden && serial.textContent !== ''
  tabs(document.querySelector('[role=tablist]'), only ? 1 : 0)
  if (!live) return []
  const screen = new Screen(`${base}/screen`)
  new Looking(document.getElementById('screen'), () => screen.start(), () => screen.stop())
  const printed = new Console(serial)
  const stream = new Stream(`${base}/serial`, page.dataset.serial, { console: ({ text }) => printed.write(text) })
  new Looking(serial.parentElement, () => stream.start(), () => stream.stop())
  return document.getElementById('keys') ? [screen, new Keys(`${base}/keys`)] : [screen]
}
