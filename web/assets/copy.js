// Puts a button beside whatever is there to be copied. Without it one click still marks all of the text.
for (const text of document.querySelectorAll('.copy')) {
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'copy-button quiet'
  button.textContent = 'Copy'
  const what = text.closest('section, article')?.querySelector('h2, h3')?.firstChild?.textContent.trim()
  button.setAttribute('aria-label', `Copy ${text.classList.contains('digest') ? 'sha256' : 'text'}${what ? `, ${what}` : ''}`)
  const frame = document.createElement(text.tagName === 'PRE' ? 'div' : 'span')
  frame.className = 'copy-frame'
  text.replaceWith(frame)
  frame.append(text, button)
  button.addEventListener('click', async () => {
    const done = await copy(text)
    button.textContent = done ? 'Copied' : 'Marked'
    setTimeout(() => { button.textContent = 'Copy' }, 1600)
  })
}

// copy works where the page came over TLS or from this machine; elsewhere browsers want the older way, which marks the text.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent)
    return true
  } catch {
    const selection = getSelection()
    selection.selectAllChildren(element)
    return document.execCommand('copy')
  }
}
