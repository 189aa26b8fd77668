// Tabs as the ARIA practices have them: one panel at a time, arrow keys go from tab to tab.

export function tabs(list, first) {
  const all = [...list.querySelectorAll('[role=tab]')]
  const select = (chosen) => {
    for (const tab of all) {
      const is = tab === chosen
      tab.setAttribute('aria-selected', String(is))
      tab.tabIndex = is ? 0 : -1
      document.getElementById(tab.getAttribute('aria-controls')).hidden = !is
    }
  }
  for (const [i, tab] of all.entries()) {
    const panel = document.getElementById(tab.getAttribute('aria-controls'))
    panel.setAttribute('role', 'tabpanel')
    panel.setAttribute('aria-labelledby', tab.id)
    panel.querySelector('.plain')?.remove() // the tab says it
    tab.addEventListener('click', () => select(tab))
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
      if (!step) return
      event.preventDefault()
      const next = all[(i + step + all.length) % all.length]
      select(next)
      next.focus()
    })
  }
  list.hidden = false
  select(all[first])
}
