// Shows how far an upload is. Without it the form is sent as it is, and the browser shows what it can.
const form = document.getElementById('upload')
const part = (name) => document.getElementById(name)
const file = part('file')

form.addEventListener('submit', (event) => {
  event.preventDefault()
  send().catch((error) => say(error.message))
})

// send asks first whether the file would be taken, so that nobody waits for an hour to learn of a wrong number.
async function send() {
  say('')
  form.elements.size.value = file.files[0].size
  busy(true)
  try {
    const fields = new FormData(form)
    fields.delete('file')
    const answer = await fetch(form.action, { method: 'POST', body: fields, headers: { Accept: 'application/json' } })
    if (!answer.ok) throw new Error((await answer.json()).error)
    location.assign(await transfer())
  } finally {
    busy(false)
  }
}

// transfer sends the form with the file and resolves to where the version is. fetch does not tell how much was sent.
function transfer() {
  const request = new XMLHttpRequest()
  const began = Date.now()
  request.upload.onprogress = ({ loaded, total }) => progress(loaded, total, (Date.now() - began) / 1000)
  part('stop').onclick = () => request.abort()
  return new Promise((resolve, reject) => {
    request.onload = () => (request.status === 200 ? resolve(request.response.location) : reject(new Error(request.response?.error ?? 'The server refused the file.')))
    request.onerror = () => reject(new Error('The connection was lost. Nothing of the file is kept.'))
    request.onabort = () => reject(new Error('Stopped. Nothing of the file is kept.'))
    request.open('POST', form.action)
    request.responseType = 'json'
    request.setRequestHeader('Accept', 'application/json')
    request.send(new FormData(form)) // the file is the last field
  })
}

function progress(loaded, total, seconds) {
  part('progress-bar').value = loaded / total
  const left = loaded ? Math.round((total - loaded) / (loaded / seconds)) : 0
  part('progress-text').textContent = loaded < total ? 'Sending' : 'Checking the box'
  part('progress-said').textContent = `${size(loaded)} of ${size(total)}${loaded < total && seconds > 2 ? `, ${time(left)} left` : ''}`
}

function busy(on) {
  part('send').disabled = on
  part('progress').hidden = !on
  part('stop').hidden = !on
  part('leave').hidden = on
}

// say shows what went wrong, where screen readers hear it.
function say(text) {
  const notice = document.createElement('span')
  notice.className = 'notice'
  notice.textContent = text
  part('said').replaceChildren(...(text ? [notice] : []))
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}

function time(seconds) {
  return seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
