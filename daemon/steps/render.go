package steps

import (
	"net"
	"strconv"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/provisioners"
)

// vars are the build's values as far as they are known.
func (t *Set) vars(s *build.Session) provisioners.Vars {
	p := s.Plan
	v := provisioners.Vars{
		ID:            string(s.Build),
		User:          p.Communicator.SSH.Username,
		Password:      p.Communicator.SSH.Password,
		ConnType:      p.Communicator.Kind(),
		RunUUID:       p.RunUUID,
		BuildName:     p.Name,
		BuilderType:   p.Builder,
		SSHPublicKey:  s.Key.Authorized,
		SSHPrivateKey: s.Key.Private,
		SSHKeyFile:    s.Key.File,
		Name:          p.DefaultName(),
		OutputDir:     p.OutputDirectory(),
	}
	if s.Seed != nil {
		v.HTTPIP, v.HTTPPort = s.Seed.Seen(), s.Seed.Port()
	}
	if s.Reached != "" {
		host, port, err := net.SplitHostPort(s.Reached)
		if err == nil {
			v.Host = host
			v.Port, _ = strconv.Atoi(port) // SplitHostPort took it from a dialled address
		}
	}
	return v
}

// renderer fills in what was left for run time, with the values known now.
func (t *Set) renderer(s *build.Session) func(text string, data map[string]string) (string, error) {
	v := t.vars(s)
	port := ""
	if v.HTTPPort != 0 {
		port = strconv.Itoa(v.HTTPPort)
	}
	c := &interpolate.Context{
		Now: t.Now(), NewUUID: uuid.NewString,
		BuildName: v.BuildName, BuildType: v.BuilderType,
		Dir: s.Plan.Cwd, TemplateDir: s.Plan.TemplateDir, PackerVersion: build.PackerVersion,
		Build: map[string]string{
			"ID": v.ID, "Host": v.Host, "Port": strconv.Itoa(v.Port), "User": v.User, "Password": v.Password,
			"ConnType": v.ConnType, "PackerRunUUID": v.RunUUID, "PackerHTTPAddr": v.HTTPAddr(),
			"PackerHTTPIP": v.HTTPIP, "PackerHTTPPort": port,
			"SSHPublicKey": v.SSHPublicKey, "SSHPrivateKey": v.SSHPrivateKey, "SSHPrivateKeyFile": v.SSHKeyFile,
			"SSHAgentAuth": strconv.FormatBool(s.Plan.Communicator.SSH.AgentAuth), "WinRMPassword": s.Plan.Communicator.WinRM.Password,
		},
	}
	common := map[string]string{
		"HTTPIP": v.HTTPIP, "HTTPPort": port, "Name": v.Name, "SSHPublicKey": v.SSHPublicKey,
		"BuildName": v.BuildName, "BuilderType": v.BuilderType, "OutputDir": v.OutputDir,
	}
	return func(text string, data map[string]string) (string, error) {
		all := make(interpolate.Data, len(common)+len(data))
		for k, val := range common {
			all[k] = val
		}
		for k, val := range data {
			all[k] = val
		}
		return interpolate.Render(text, c, all)
	}
}
