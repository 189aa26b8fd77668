package steps

import (
	"encoding/json"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
)

func TestWantsKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*build.Plan)
		want   bool
	}{
		"password":          {func(*build.Plan) {}, false},
		"no password":       {func(p *build.Plan) { p.Communicator.SSH.Password = "" }, true},
		"type of key":       {func(p *build.Plan) { p.Communicator.TemporaryKey.Type = "rsa" }, true},
		"in a seed":         {func(p *build.Plan) { p.Seed.Content = map[string]string{"/ks": "key {{ .SSHPublicKey }}"} }, true},
		"in a boot command": {func(p *build.Plan) { p.Boot.BootCommand = []string{"k={{ urlquery .SSHPublicKey }}<enter>"} }, true},
		"in a provisioner": {func(p *build.Plan) {
			p.Provisioners = []build.ProvisionPlan{{Type: "shell-local", Args: json.RawMessage(`{"inline":["ssh -i {{ build ` + "`SSHPrivateKeyFile`" + ` }}"]}`)}}
		}, true},
	} {
		p := &build.Plan{}
		p.Communicator.SSH.Password = "vagrant"
		test.change(p)
		if got, err := wantsKey(p); got != test.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
