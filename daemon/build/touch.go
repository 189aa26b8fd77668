package build

// Touch tells that somebody reached into the machine beside the steps, by its keyboard or a shell. What such a machine
// holds no longer follows from the plan, so nothing of it may be kept for other builds. Another machine (SetMachine), such as
// one thawed for another try, is untouched.
func (s *Session) Touch(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.touched == "" {
		s.touched = how
	}
}

// Touched is how the machine was first touched, in words such as "an operator typed at it"; empty if it was not.
func (s *Session) Touched() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched
}
