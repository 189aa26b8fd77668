package template

import (
	"encoding/json"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// provisionerMeta are the arguments that every provisioner takes besides its own.
type provisionerMeta struct {
	Name            string          `json:"name" doc:"How messages call the provisioner."`
	Only            []string        `json:"only" doc:"The sources that it is for."`
	Except          []string        `json:"except" doc:"The sources that it is not for."`
	PauseBefore     schema.Duration `json:"pause_before" doc:"How long to wait first."`
	Timeout         schema.Duration `json:"timeout" doc:"How long it may take."`
	MaxRetries      int             `json:"max_retries" doc:"How often it is tried again."`
	ContinueOnError bool            `json:"continue_on_error" doc:"Go on if it fails."`
	Cache           *bool           `json:"cache" doc:"Keep the machine as it is afterwards and start later builds there. Default true."`
	CacheMaxAge     schema.Duration `json:"cache_max_age" doc:"How old what was kept may be to be used again. Default: what holds for the source."`
	Override        json.RawMessage `json:"override" doc:"Other arguments for single sources."`
}

// postProcessorMeta are the arguments that every post-processor takes besides its own.
type postProcessorMeta struct {
	Name              string   `json:"name" doc:"How messages and -except call the post-processor."`
	Only              []string `json:"only" doc:"The sources that it is for."`
	Except            []string `json:"except" doc:"The sources that it is not for."`
	KeepInputArtifact *bool    `json:"keep_input_artifact" doc:"Keep what it was given."`
}

func provisionerMetaBlock() *schema.Block {
	return schema.New("provisioner", "", provisionerMeta{})
}

func postProcessorMetaBlock() *schema.Block {
	return schema.New("post-processor", "", postProcessorMeta{})
}

// takeMeta moves the arguments of the meta block out of args and decodes them into out, a pointer to its group. The value
// of override stays out of it: it is returned.
func (l *loader) takeMeta(meta *schema.Block, title string, args *arguments, ctx *interpolate.Context, how schema.Leniency, out any) (override cty.Value, ok bool) {
	taken := &arguments{values: map[string]cty.Value{}, places: args.places, at: args.at}
	for _, name := range meta.Names() {
		v, given := args.values[name]
		if !given {
			continue
		}
		delete(args.values, name)
		if name == "override" {
			override = v
			continue
		}
		taken.values[name] = v
	}
	c, ok := l.resolve(meta, title, taken, ctx, how)
	if !ok {
		return override, false
	}
	if err := json.Unmarshal(c.args, out); err != nil { // resolve has checked it
		l.report.errorf(args.at, "", "%s: %v", title, err)
		return override, false
	}
	return override, true
}

// applyOverride replaces arguments by those that override gives for one of the names of a source.
func (l *loader) applyOverride(title string, args *arguments, override cty.Value, names ...string) bool {
	if override == cty.NilVal {
		return true
	}
	override, _ = override.Unmark()
	if override.IsNull() || !override.IsKnown() {
		return true
	}
	if t := override.Type(); !t.IsObjectType() && !t.IsMapType() {
		l.report.errorf(args.place("override"), "write override = { source = { argument = value } }", "%s: override must be an object", title)
		return false
	}
	for _, name := range names {
		v, ok := override.AsValueMap()[name]
		if !ok {
			continue
		}
		v, _ = v.Unmark()
		if t := v.Type(); v.IsNull() || !t.IsObjectType() && !t.IsMapType() {
			l.report.errorf(args.place("override"), "write override = { source = { argument = value } }", "%s: override of %q must be an object", title, name)
			return false
		}
		for arg, value := range v.AsValueMap() {
			args.values[arg] = value
			args.places[arg] = args.place("override." + name + "." + arg)
		}
		return true
	}
	return true
}

// provisioner makes a provisioner of what was resolved.
func (m provisionerMeta) provisioner(typ string, c component, at Pos) Provisioner {
	return Provisioner{
		Type: typ, Name: m.Name, Args: c.args, Volatile: c.volatile, PauseBefore: time.Duration(m.PauseBefore), Timeout: time.Duration(m.Timeout),
		MaxRetries: m.MaxRetries, ContinueOnError: m.ContinueOnError, Cache: m.Cache, CacheMaxAge: time.Duration(m.CacheMaxAge), Pos: at,
	}
}
