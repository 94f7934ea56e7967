//! Every keyword of plays, roles, blocks and tasks, in one table: where it may stand, and how it is inherited.

use crate::text::{Node, Spanned};

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// On a play.
    Play,
    /// On an entry of `roles:`.
    Role,
    /// On a block.
    Block,
    /// On a task.
    Task,
    /// On a handler.
    Handler,
}

impl Level {
    /// `a task`, `a play` …, for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Play => "a play",
            Self::Role => "an entry of `roles`",
            Self::Block => "a block",
            Self::Task => "a task",
            Self::Handler => "a handler",
        }
    }
}

/// What a keyword's value must look like, where it is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Read by whoever uses it.
    Any,
    /// A string, or what is as good as one.
    Text,
    /// A boolean, or a word for one.
    Bool,
    /// A whole number, or text that is one.
    Int,
    /// A number, or text that is one; a percent sign may follow.
    Float,
    /// A scalar or a list of scalars.
    List,
    /// A condition or a list of them.
    Condition,
    /// A mapping from variable names.
    Vars,
    /// A mapping, or a list of mappings.
    Maps,
    /// A mapping or a list of them, or a template.
    Environment,
    /// The options of a loop.
    LoopControl,
    /// The name of a variable.
    Variable,
}

/// A keyword's row in the table.
#[derive(Clone, Copy, Debug)]
pub struct KeywordSpec {
    /// The keyword.
    pub keyword: Keyword,
    /// How it is written.
    pub name: &'static str,
    /// What its value must look like.
    pub shape: Shape,
    /// Where it may stand.
    pub levels: &'static [Level],
    /// What it does, for `rappel doc`.
    pub doc: &'static str,
}

macro_rules! keywords {
    ($($variant:ident $name:literal $shape:ident [$($level:ident)*] $doc:literal;)*) => {
        /// A word that plays, roles, blocks or tasks may carry beside their content.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Keyword { $(#[doc = $doc] $variant),* }

        impl Keyword {
            /// All keywords.
            pub const TABLE: &[KeywordSpec] = &[$(KeywordSpec { keyword: Self::$variant, name: $name, shape: Shape::$shape, levels: &[$(Level::$level),*], doc: $doc }),*];
        }
    };
}

keywords! {
    Name "name" Text [Play Block Task Handler] "label shown in the output";
    Vars "vars" Vars [Play Role Block Task Handler] "variables for everything below";
    When "when" Condition [Role Block Task Handler] "condition, or a list of conditions that must all hold";
    Tags "tags" List [Play Role Block Task Handler] "labels to select by `--tags` and `--skip-tags`";
    Become "become" Bool [Play Role Block Task Handler] "act as another user";
    BecomeUser "become_user" Text [Play Role Block Task Handler] "the user to act as; `root` when not given";
    BecomeMethod "become_method" Text [Play Role Block Task Handler] "`sudo`, `su` or `doas`";
    BecomeFlags "become_flags" Text [Play Role Block Task Handler] "flags for the become program";
    BecomeExe "become_exe" Text [Play Role Block Task Handler] "path of the become program";
    Connection "connection" Text [Play Role Block Task Handler] "`ssh` or `local`";
    RemoteUser "remote_user" Text [Play Role Block Task Handler] "user to log in as";
    Port "port" Int [Play Role Block Task Handler] "port to connect to";
    Environment "environment" Environment [Play Role Block Task Handler] "environment variables for programs that tasks start";
    NoLog "no_log" Bool [Play Role Block Task Handler] "keep results and parameters out of every output";
    IgnoreErrors "ignore_errors" Bool [Play Role Block Task Handler] "go on after a failure";
    IgnoreUnreachable "ignore_unreachable" Bool [Play Role Block Task Handler] "go on when a host cannot be reached";
    AnyErrorsFatal "any_errors_fatal" Bool [Play Role Block Task Handler] "a failure on one host stops all";
    CheckMode "check_mode" Bool [Play Role Block Task Handler] "predict instead of act, or the opposite";
    Diff "diff" Bool [Play Role Block Task Handler] "show what changes";
    RunOnce "run_once" Bool [Play Role Block Task Handler] "run on the first host only, for all";
    Throttle "throttle" Int [Play Role Block Task Handler] "at most this many hosts at once";
    Timeout "timeout" Int [Play Role Block Task Handler] "seconds after which the task fails";
    DelegateTo "delegate_to" Text [Role Block Task Handler] "run on this host instead";
    DelegateFacts "delegate_facts" Bool [Role Block Task Handler] "gathered facts belong to the delegate";
    ModuleDefaults "module_defaults" Maps [Play Role Block Task Handler] "default parameters by module";
    Collections "collections" List [Play Role Block Task Handler] "collections to look names up in";
    Debugger "debugger" Text [Play Role Block Task Handler] "not supported: there is no interactive debugger";
    Notify "notify" List [Block Task Handler] "handlers to run when this changes something";
    Listen "listen" List [Handler] "topics a handler answers to";
    Register "register" Variable [Task Handler] "variable that takes the result";
    Loop "loop" Any [Task Handler] "list to run the task for";
    LoopControl "loop_control" LoopControl [Task Handler] "`label`, `index_var`, `loop_var`, `pause`, `extended`, `break_when`";
    Until "until" Condition [Task Handler] "repeat until this holds";
    Retries "retries" Int [Task Handler] "how often to repeat";
    Delay "delay" Float [Task Handler] "seconds between repetitions";
    ChangedWhen "changed_when" Condition [Task Handler] "when the result counts as changed";
    FailedWhen "failed_when" Condition [Task Handler] "when the result counts as failed";
    Args "args" Any [Task Handler] "more parameters of the module";
    Async "async" Int [Task Handler] "run in the background for at most this many seconds";
    Poll "poll" Int [Task Handler] "seconds between looks at a background task; 0 to leave it";
    Hosts "hosts" List [Play] "pattern of the hosts to act on";
    GatherFacts "gather_facts" Bool [Play] "whether to collect facts first";
    GatherSubset "gather_subset" List [Play] "which facts to collect";
    GatherTimeout "gather_timeout" Int [Play] "seconds that collecting one fact may take";
    FactPath "fact_path" Text [Play] "directory of local facts";
    VarsFiles "vars_files" Any [Play] "files of variables";
    VarsPrompt "vars_prompt" Any [Play] "variables to ask for";
    Roles "roles" Any [Play] "roles to run, after `pre_tasks`";
    PreTasks "pre_tasks" Any [Play] "tasks before the roles";
    Tasks "tasks" Any [Play] "tasks after the roles";
    PostTasks "post_tasks" Any [Play] "tasks after `tasks`";
    Handlers "handlers" Any [Play] "tasks that run when notified";
    ForceHandlers "force_handlers" Bool [Play] "run notified handlers also on hosts that failed";
    Serial "serial" Any [Play] "how many hosts at a time: number, percentage, or a list of them";
    Strategy "strategy" Text [Play] "`linear`, `free` or `host_pinned`";
    Order "order" Text [Play] "`inventory`, `sorted`, `reverse_inventory`, `reverse_sorted` or `shuffle`";
    MaxFailPercentage "max_fail_percentage" Float [Play] "stop when more than this share of the batch has failed";
    ValidateArgspec "validate_argspec" Any [Play] "check variables against the playbook's argument specification";
}

impl Keyword {
    /// The keyword called `name`, if it may stand at `level`.
    pub fn find(name: &str, level: Level) -> Option<&'static KeywordSpec> {
        Self::TABLE.iter().find(|row| row.name == name && row.levels.contains(&level))
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.keyword == self).map_or("", |row| row.name)
    }
}

/// The keywords that stand on one play, role entry, block or task, in the order written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keywords(pub Vec<(Spanned<Keyword>, Node)>);

impl Keywords {
    /// What was written for `keyword`.
    pub fn get(&self, keyword: Keyword) -> Option<&Node> {
        self.0.iter().rev().find(|(found, _)| found.value == keyword).map(|(_, node)| node)
    }
}
