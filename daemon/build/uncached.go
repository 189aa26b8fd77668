package build

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/template"
)

// reason is why a stage cannot be cached.
type reason struct {
	text  string // by itself
	which string // after "after STAGE, which "
}

// same is a reason that reads the same in both places.
func same(format string, args ...any) reason {
	text := fmt.Sprintf(format, args...)
	return reason{text, text}
}

// sourceNames and cacheNames are what --no-cache may call the source and a provisioner of a plan.
func (p *Plan) sourceNames() []string { return []string{p.Label, p.Builder + "." + p.Name, p.Name} }

func (pr ProvisionPlan) cacheNames() []string { return []string{pr.Type, pr.Name} }

// CheckNoCache finds names given to --no-cache that no plan of the command has, because they were misspelt.
func CheckNoCache(plans []Plan) error {
	known := map[string]bool{"": true, "*": true}
	for i := range plans {
		names := plans[i].sourceNames()
		for _, pr := range plans[i].Provisioners {
			names = append(names, pr.cacheNames()...)
		}
		for _, name := range names {
			known[name] = true
		}
	}
	for i := range plans {
		for _, asked := range plans[i].Options.NoCache {
			if !known[asked] {
				return fmt.Errorf("--no-cache=%s: no source and no provisioner of the template has that name or type", asked)
			}
		}
	}
	return nil
}

// noCache obeys --no-cache for a stage with these names.
func (s *stager) noCache(r *recipe, names ...string) {
	for _, asked := range s.plan.Options.NoCache {
		switch {
		case asked == "" || asked == "*":
			r.never(reason{"--no-cache", "is built with --no-cache"})
		case slices.Contains(names, asked):
			r.never(reason{"--no-cache=" + asked, "is named by --no-cache=" + asked})
		}
	}
}

// volatile notes arguments whose value differs in every run, if they reach far enough.
func (s *stager) volatile(r *recipe, b *schema.Block, uses []template.Use, counts func(schema.Reach) bool) {
	for _, u := range uses {
		reach := schema.ReachesGuest
		if b != nil {
			if a := b.Arg(u.Arg); a != nil && a.Guest != "" {
				reach = a.Guest
			}
		}
		if counts(reach) {
			r.never(same("uses %s() in %s", u.Function, u.Arg))
		}
	}
}

// values adds arguments, and the values of the running build that their texts name.
func (s *stager) values(r *recipe, prefix string, values []schema.Value) {
	for _, v := range values {
		r.value(prefix+v.Name, v)
		if v.Late {
			s.late(r, prefix, v)
		}
	}
}

// late looks at what a text leaves for run time. Addresses and the temporary key are not known before and are no part
// of a fingerprint; names and passwords are taken from the plan; what is another in every run cannot be cached.
func (s *stager) late(r *recipe, prefix string, v schema.Value) {
	eachString(v.Tree, func(text string) {
		for _, f := range interpolate.Volatile(text) {
			r.never(same("uses %s() in %s", f, v.Name))
		}
		for _, name := range interpolate.Runtime(text) {
			s.runtime(r, prefix, v.Name, name)
		}
		if v.Local && strings.Contains(text, "{{") {
			r.never(same("sends a file in %s whose name is known only while the build runs", v.Name))
		}
	})
}

// runtime adds one value of the running build that an argument names.
func (s *stager) runtime(r *recipe, prefix, arg, name string) {
	p := s.plan
	known := map[string]struct{ value, from string }{
		"Name":                {p.DefaultName(), "vm_name"},
		"OutputDir":           {p.OutputDirectory(), "output_directory"},
		"BuildName":           {p.Name, ""},
		"BuilderType":         {p.Builder, ""},
		"build.User":          {p.Communicator.SSH.Username, "ssh_username"},
		"build.Password":      {p.Communicator.SSH.Password, "ssh_password"},
		"build.WinRMPassword": {p.Communicator.WinRM.Password, "winrm_password"},
		"build.ConnType":      {p.Communicator.Kind(), ""},
		"build.SSHAgentAuth":  {fmt.Sprint(p.Communicator.SSH.AgentAuth), ""},
	}
	switch name {
	case "build", "build.ID", "build.PackerRunUUID":
		r.never(same("uses %s in %s", name, arg))
		return
	}
	k, ok := known[name]
	if !ok {
		return
	}
	r.text(prefix+arg+" "+name, k.value)
	for _, u := range p.Volatile {
		if u.Arg == k.from {
			r.never(same("uses %s() in %s", u.Function, u.Arg))
		}
	}
}

// eachString calls fn for the texts in a tree, in a fixed order.
func eachString(tree any, fn func(string)) {
	switch t := tree.(type) {
	case string:
		fn(t)
	case []any:
		for _, e := range t {
			eachString(e, fn)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(t)) {
			eachString(t[name], fn)
		}
	}
}
