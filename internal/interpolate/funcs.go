package interpolate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// builtins are the functions of text/template itself.
var builtins = []string{"and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println", "slice", "urlquery"}

// volatileFuncs have another value in every run.
var volatileFuncs = []string{"isotime", "strftime", "timestamp", "uuid"}

// contextFuncs need the context of the plan, so they are evaluated then or never.
var contextFuncs = []string{"build_name", "build_type", "env", "isotime", "packer_version", "pwd", "strftime", "template_dir", "timestamp", "user", "uuid"}

// BuildValues are the names that {{ build `Name` }} and build.Name know.
// Source: packer website, "contextual variables", and packer-plugin-sdk packerbuilderdata.
func BuildValues() []string {
	return []string{"ConnType", "Host", "ID", "PackerHTTPAddr", "PackerHTTPIP", "PackerHTTPPort", "PackerRunUUID", "Password", "Port",
		"SSHAgentAuth", "SSHPrivateKey", "SSHPrivateKeyFile", "SSHPublicKey", "SourceAMI", "SourceAMICreationDate", "SourceAMIName",
		"SourceAMIOwner", "SourceAMIOwnerName", "SourceImageName", "BuildRegion", "User", "WinRMPassword", "SSHUsername"}
}

// fields are the names that builders, provisioners and post-processors give values for, to recognise misspelt ones.
var fields = []string{"HTTPIP", "HTTPPort", "Name", "SSHPublicKey", "EncodedSSHPublicKey", "OutputDir", "SSHHostPort", "Vars", "Path",
	"EnvVarFile", "Command", "Script", "BuildName", "BuilderType", "Provider", "Architecture", "ArtifactId", "WinRMPassword", "User", "Password",
	"WorkingDir", "StagingDir", "FacterVars", "HasHieraConfigPath", "HieraConfigPath", "ModulePath", "ManifestFile", "ManifestDir", "PuppetBinDir",
	"ExtraArguments", "Sudo", "Debug", "IgnoreExitCodes", "ConfigPath", "JsonPath", "InstallScript", "Version", "PolicyName", "PolicyGroup",
	"Args", "Flags", "Options", "Region", "BuildRegion", "SourceAMI", "SourceAMIName", "GuestOS", "DiskName", "ISOPath", "ID"}

// Functions returns the names of all functions, sorted.
func Functions() []string {
	names := slices.Concat(builtins, slices.Collect(maps.Keys((&Context{}).funcs())))
	slices.Sort(names)
	return names
}

func (c *Context) funcs() template.FuncMap {
	return template.FuncMap{
		"user":                c.user,
		"env":                 c.env,
		"build":               c.build,
		"build_name":          func() (string, error) { return available("build_name", c.BuildName) },
		"build_type":          func() (string, error) { return available("build_type", c.BuildType) },
		"packer_version":      func() (string, error) { return available("packer_version", c.PackerVersion) },
		"pwd":                 func() (string, error) { return available("pwd", c.Dir) },
		"template_dir":        func() (string, error) { return available("template_dir", c.TemplateDir) },
		"timestamp":           func() string { return strconv.FormatInt(c.Now.Unix(), 10) },
		"isotime":             c.isotime,
		"strftime":            func(format string) string { return Strftime(format, c.Now.UTC()) },
		"uuid":                c.uuid,
		"clean_resource_name": CleanResourceName,
		"lower":               strings.ToLower,
		"upper":               strings.ToUpper,
		"replace":             func(from, to string, n int, s string) string { return strings.Replace(s, from, to, n) },
		"replace_all":         func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
		"split":               split,
		"sed":                 func(_, _ string) (string, error) { return "", errSed },
		"vault":               func(_, _ string) (string, error) { return "", missingClient("vault", "HashiCorp Vault") },
		"consul_key":          func(string) (string, error) { return "", missingClient("consul_key", "Consul") },
		"aws_secretsmanager":  func(...string) (string, error) { return "", missingClient("aws_secretsmanager", "AWS Secrets Manager") },
		"aws_secretsmanager_raw": func(string) (string, error) {
			return "", missingClient("aws_secretsmanager_raw", "AWS Secrets Manager")
		},
	}
}

var errSed = &remedied{"the function sed was taken out of Packer", "use replace or replace_all"}

func missingClient(function, system string) error {
	return &remedied{fmt.Sprintf("%s needs a client for %s, which Boxkiln does not have yet", function, system),
		"fetch the value with that system's own tool and pass it with -var or the environment"}
}

func available(function, value string) (string, error) {
	if value == "" {
		return "", &remedied{function + " has no value here", ""}
	}
	return value, nil
}

func (c *Context) user(name string) (string, error) {
	if c.User == nil {
		return "", &remedied{fmt.Sprintf("user variable %q: there are no user variables here", name), "in HCL templates write var." + name}
	}
	return c.User(name)
}

func (c *Context) env(name string) (string, error) {
	if c.Env == nil {
		return "", &remedied{fmt.Sprintf("environment variable %q: the environment can be read only in the defaults of variables", name),
			"declare a variable with that default and use it here"}
	}
	return c.Env(name)
}

func (c *Context) build(name string) (string, error) {
	v, ok := c.Build[name]
	if !ok {
		return "", &remedied{fmt.Sprintf("build value %q is not known here", name), didYouMean(name, BuildValues())}
	}
	return v, nil
}

func (c *Context) isotime(format ...string) (string, error) {
	switch len(format) {
	case 0:
		return c.Now.UTC().Format(time.RFC3339), nil
	case 1:
		return c.Now.UTC().Format(format[0]), nil
	}
	return "", &remedied{fmt.Sprintf("isotime takes one format, not %d", len(format)), ""}
}

func (c *Context) uuid() (string, error) {
	if c.NewUUID == nil {
		return "", errors.New("uuid has no value here")
	}
	return c.NewUUID(), nil
}

// split returns part n of s cut at each separator.
func split(s, separator string, n int) (string, error) {
	parts := strings.Split(s, separator)
	if n < 0 || n >= len(parts) {
		return "", &remedied{fmt.Sprintf("split: %q has %d parts between %q, so there is no part %d", s, len(parts), separator, n), "parts are counted from 0"}
	}
	return parts[n], nil
}

// CleanResourceName replaces every character that the name of an AMI may not have by a dash.
// Source: EC2 API reference, RegisterImage, Name.
func CleanResourceName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("()[] ./-'@_", r) {
			return r
		}
		return '-'
	}, s)
}
