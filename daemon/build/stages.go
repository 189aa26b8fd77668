package build

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// Stages computes the stages of a plan with their fingerprints: the installed machine, unless nobody logs in to it, one
// for each provisioner, and the artifact. It reads nothing but its arguments. Where the template lies, what the source is
// called and where the results go are no part of a fingerprint.
func (p *Plan) Stages(parts Parts, o StageOptions) ([]Stage, error) {
	s := stager{plan: p, parts: parts, options: o}
	s.secrets = p.Hidden()
	if err := s.installed(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Label, err)
	}
	for i := range p.Provisioners {
		if err := s.provisioner(i); err != nil {
			return nil, fmt.Errorf("%s: provisioner %d (%s): %w", p.Label, i+1, p.Provisioners[i].Type, err)
		}
	}
	if err := s.artifact(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Label, err)
	}
	return s.stages, nil
}

// stager makes the stages of one plan, one after the other.
type stager struct {
	plan    *Plan
	parts   Parts
	options StageOptions
	secrets []string

	stages []Stage
	before string // fingerprint of the last stage
	maxAge time.Duration
	never  string // why nothing from here on can be cached
	// held are the ingredients of a stage that is none because nobody can tell when it is reached.
	held []Ingredient
}

func (s *stager) recipe() *recipe {
	return &recipe{encoder: encoder{secrets: s.secrets, key: s.options.SecretKey}}
}

// end makes a stage of a recipe.
func (s *stager) end(name string, r *recipe, maxAge time.Duration) {
	never := s.never
	if never == "" && r.why != (reason{}) {
		never = r.why.text
		s.never = "after " + name + ", which " + r.why.which
	}
	if s.maxAge == 0 || maxAge < s.maxAge {
		s.maxAge = maxAge
	}
	s.before = r.fingerprint(name, s.before)
	if name == StageInstalled && s.plan.Communicator.Kind() == CommunicatorNone {
		s.held = r.reads
		if never != "" {
			s.never = never
		}
		return
	}
	s.stages = append(s.stages, Stage{Name: name, Fingerprint: s.before, Reads: slices.Concat(s.held, r.reads), Never: never,
		MaxAge: s.maxAge, Fresh: s.plan.Options.Fresh})
	s.held = nil
}

// sourceMaxAge is the age limit of stages that set none of their own.
func (s *stager) sourceMaxAge() time.Duration {
	limit := cmp.Or(s.plan.Options.CacheMaxAge, s.options.DefaultMaxAge, DefaultCacheMaxAge)
	own := time.Duration(s.plan.Cache.CacheMaxAge)
	if own > 0 && (s.plan.Options.CacheMaxAge == 0 || own < limit) {
		return own
	}
	return limit
}

// installed is the machine when the first login works.
func (s *stager) installed() error {
	p, r := s.plan, s.recipe()
	if p.Cache.Cache != nil && !*p.Cache.Cache {
		r.never(reason{"cache = false", "has cache = false"})
	}
	s.noCache(r, p.sourceNames()...)
	values, err := schema.Reaching(p, schema.ReachesGuest)
	if err != nil {
		return err
	}
	r.number(slices.Concat([]string{content(p.Seed.Directory)}, p.CD.Files, p.Floppy.Files, p.Floppy.Dirs, p.SourceFiles)...)
	for i := range values {
		if values[i].Name == "http_directory" { // its own name is not seen by anybody
			values[i].Tree = content(p.Seed.Directory)
		}
	}
	s.values(r, "", values)
	if err := s.driverOptions(r, schema.ReachesGuest); err != nil {
		return err
	}
	s.media(r)
	r.contents(p, false)
	s.volatile(r, s.sourceSchema(), p.Volatile, func(reach schema.Reach) bool { return reach == schema.ReachesGuest })
	s.end(StageInstalled, r, s.sourceMaxAge())
	return nil
}

// content is the name of a directory of which only the content counts.
func content(dir string) string {
	if dir == "" {
		return ""
	}
	return strings.TrimRight(dir, "/") + "/"
}

// media adds what the machine starts from.
func (s *stager) media(r *recipe) {
	p := s.plan
	if p.Media.ISOURL != "" || len(p.Media.ISOURLs) > 0 {
		r.text("media", s.options.Media)
		if s.options.Media == "" {
			r.never(same("starts from a medium that was never fetched, and declares no checksum of it"))
		}
	}
	if p.Machine.Source != "" && len(p.SourceFiles) == 0 {
		r.text("source", s.options.Source)
		if s.options.Source == "" {
			r.never(same("starts from a machine that was never fetched, and declares no checksum of it"))
		}
	}
	for i, d := range p.Machine.Disks {
		if d.Image != "" {
			r.never(same("starts disk %d from an image on the daemon's host, which may change", i+1))
		}
	}
}

// driverOptions adds what of the driver's own options reaches as far as reach.
func (s *stager) driverOptions(r *recipe, reach schema.Reach) error {
	raw := s.plan.Machine.Options
	if len(raw) == 0 {
		return nil
	}
	reacher, ok := s.parts.Sources[s.plan.Builder].Planner.(hypervisor.Reacher)
	if !ok {
		if reach != schema.ReachesGuest {
			return nil
		}
		t, err := schema.Decode(raw)
		if err != nil {
			return fmt.Errorf("the driver's options: %w", err)
		}
		r.value("driver options", schema.Value{Tree: t})
		return nil
	}
	values, never, err := reacher.Reaching(raw, reach)
	if err != nil {
		return fmt.Errorf("the driver's options: %w", err)
	}
	for i := range values {
		values[i].Late = true // which of them are is only known to the driver
	}
	s.values(r, "", values)
	if never != "" {
		r.never(same("%s", never))
	}
	return nil
}

// provisioner is the machine after provisioner i.
func (s *stager) provisioner(i int) error {
	pr, r := s.plan.Provisioners[i], s.recipe()
	kind := s.parts.Provisioners[pr.Type]
	if pr.Cache != nil && !*pr.Cache {
		r.never(reason{"cache = false", "has cache = false"})
	}
	s.noCache(r, pr.cacheNames()...)
	if kind.Uncached != nil {
		if why := kind.Uncached(pr.Args); why != "" {
			r.never(same("%s", why))
		}
	}
	r.text("type", pr.Type)
	r.text("build name", s.plan.Name) // scripts see these two in their environment
	r.text("builder type", s.plan.Builder)
	if err := s.arguments(r, "", kind.Schema, pr.Args, kind.Inputs, schema.ReachesGuest); err != nil {
		return err
	}
	r.contents(s.plan, !kind.IgnoresModes)
	s.volatile(r, kind.Schema, pr.Volatile, func(reach schema.Reach) bool { return reach == schema.ReachesGuest })
	maxAge := s.sourceMaxAge()
	if pr.CacheMaxAge > 0 {
		maxAge = pr.CacheMaxAge
	}
	s.end(ProvisionStep(i, pr.Type), r, maxAge)
	return nil
}

// ProvisionStep is the name of the step, and of the stage, of provisioner i of a plan.
func ProvisionStep(i int, typ string) string { return fmt.Sprintf("provision[%d] %s", i+1, typ) }

// arguments adds arguments in JSON and takes note of the files that they name.
func (s *stager) arguments(r *recipe, prefix string, b *schema.Block, args json.RawMessage, inputs func(json.RawMessage) ([]string, error), reaches ...schema.Reach) error {
	values, err := b.Reaching(args, reaches...)
	if err != nil {
		return err
	}
	var names []string
	if inputs != nil {
		if names, err = inputs(args); err != nil {
			return err
		}
	}
	r.number(slices.Concat(r.locals, names)...)
	s.values(r, prefix, values)
	return nil
}

// artifact is what the build is for.
func (s *stager) artifact() error {
	p, r := s.plan, s.recipe()
	r.text("build name", p.Name) // part of the default names of artifacts
	r.text("builder type", p.Builder)
	values, err := schema.Reaching(p, schema.ReachesArtifact)
	if err != nil {
		return err
	}
	s.values(r, "", values)
	if err := s.driverOptions(r, schema.ReachesArtifact); err != nil {
		return err
	}
	named := s.keepsMachine() || len(p.Packages.Package) > 0 // whose names come from the machine's
	if named {
		r.text("vm_name", p.DefaultName())
		r.text("output_directory", p.OutputDirectory())
	}
	s.volatile(r, s.sourceSchema(), p.Volatile, func(reach schema.Reach) bool { return reach == schema.ReachesArtifact })
	for _, u := range p.Volatile {
		if named && (u.Arg == "vm_name" || u.Arg == "output_directory") {
			r.never(same("uses %s() in %s", u.Function, u.Arg))
		}
	}
	if err := s.post(r); err != nil {
		return err
	}
	r.contents(p, false)
	s.end(StageArtifact, r, s.sourceMaxAge())
	return nil
}

// post adds the chains of post-processors.
func (s *stager) post(r *recipe) error {
	for i, chain := range s.plan.Post {
		for j, pp := range chain {
			kind := s.parts.PostProcessors[pp.Type]
			if !kind.Pure {
				r.never(reason{fmt.Sprintf("post-processor %s always runs", pp.Type), "runs post-processor " + pp.Type})
			}
			values, err := schema.Reaching(pp, schema.ReachesArtifact)
			if err != nil {
				return err
			}
			prefix := fmt.Sprintf("post-processor[%d][%d] ", i+1, j+1)
			s.values(r, prefix, values)
			if err := s.arguments(r, prefix, kind.Schema, pp.Args, kind.Inputs); err != nil {
				return fmt.Errorf("post-processor %s: %w", pp.Type, err)
			}
			s.volatile(r, kind.Schema, pp.Volatile, func(schema.Reach) bool { return true })
		}
	}
	return nil
}

// keepsMachine tells whether the machine's own files are among the results, so that their names matter. Where that is
// left to a post-processor which cannot be asked, they are.
func (s *stager) keepsMachine() bool {
	for _, chain := range s.plan.Post {
		if len(chain) == 0 || s.keeps(chain[0]) {
			return true
		}
	}
	return len(s.plan.Post) == 0 && len(s.plan.Packages.Package) == 0
}

func (s *stager) keeps(pp PostPlan) bool {
	kind := s.parts.PostProcessors[pp.Type]
	if kind.New == nil {
		return true
	}
	made, err := kind.New(pp.Args, PostEnv{})
	if err != nil {
		return true
	}
	keep, forced := false, false
	if k, ok := made.(KeepsInput); ok {
		keep, forced = k.KeepsInput()
	}
	if pp.KeepInputArtifact != nil && !forced {
		return *pp.KeepInputArtifact
	}
	return keep
}

func (s *stager) sourceSchema() *schema.Block { return s.parts.Sources[s.plan.Builder].Schema }
