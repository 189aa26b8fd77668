package main

import "testing"

// TestSeedKnowsTheKey: an installer can be handed the temporary key by http_content, and braces that come from a value
// stay as they are.
func TestSeedKnowsTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{
		"http_content": `{ "/key" = "[{{ .SSHPublicKey }}] ${replace("<<x>>", "<<x>>", "{ { x } }")}" }`,
	}, inline(`curl -fsS http://127.0.0.1:$PACKER_HTTP_PORT/key`))
	b.run("build", "-color=false", template).wants(t, exitOK, "[ssh-ed25519 ", "{ { x } }", "seed: GET /key: 200")
}
