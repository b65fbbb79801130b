// What Python sends to the page's modules and what they send back, once for all of them. The Python side of each is
// named.

/** What a component gets: Gradio's part, and the element and the options that components.py's widget() gives it. */
export interface Context<Value, Server = object, Options = object> {
  root: HTMLElement;
  props: { value: Value };
  trigger(event: string, data?: object): void;
  server: Server;
  upload: Upload;
  watch(property: "value", changed: () => void): void;
  options: Options;
}

export type Upload = (file: File) => Promise<{ path: string; url: string }>;

/** A file that was uploaded, as Gradio knows it. */
export interface UploadedFile {
  path: string;
  url: string;
  orig_name: string;
  size: number;
  meta: { _type: "gradio.FileData" };
}

/** An image that a visitor chose; vae/ui/uploads.py reads it. */
export type ImageValue =
  | { kind: "example"; name: string }
  | { kind: "file"; file: UploadedFile }
  | { kind: "inline"; uri: string; label: string };

/** tour.as_json() */
export interface TourStep {
  idea: string;
  says: string;
  tries: string;
  opens: Record<string, string>;
}

/** uploads.examples() */
export interface Example {
  name: string;
  label: string;
  uri: string;
}

/** picker.shown_facts() */
export interface ModelFacts {
  name: string;
  kind: "live" | "bundled" | "run" | "opened";
  family: string;
  parameters: number;
  in_channels: number;
  image_size: number;
  fixed_size: boolean;
  latent_shape: [number, number, number];
  latent_space: string | null;
  trained_on: string | null;
  epoch: number | null;
}

/** What the model picker tells all other components. */
export interface ModelNews {
  models: ModelFacts[];
  chosen: string | null;
  title(model: Pick<ModelFacts, "name"> & Partial<ModelFacts>): string;
  choose(name: string): void;
}

/** serving/popular_models.py */
export interface PopularModel {
  id: string;
  family: string;
  title: string;
  says: string;
  licence: string;
  megabytes: number;
  on_disk: boolean;
  gated: boolean;
}

/** picker.opening_facts(): how far the opening of a model is. */
export interface Opening {
  name: string;
  state: "waiting" | "loading" | "done" | "failed";
  done: number;
  total: number;
  error: string | null;
  facts: ModelFacts | null;
}

export interface PickerServer {
  model_list(known: { version: string | null; names: string[] }): Promise<{ version: string; models?: ModelFacts[] }>;
  known_models(): Promise<PopularModel[]>;
  open_model(text: string): Promise<Opening>;
  opening(name: string): Promise<Opening>;
}

/** Work under way, of serving/tasks.py; null when there is none. share: from 0 to 1, null where it is not known. */
export interface Progress {
  ticket: string;
  what: string;
  share: number | null;
}

export interface StopServer {
  stop(ticket: string): Promise<unknown>;
}

/** Figures of one image through a model, of tabs/reconstruct.py and tabs/compare.py. */
export interface Figures {
  psnr: number;
  ssim: number;
  width: number;
  height: number;
  latent_shape: [number, number, number];
  seconds: number;
  tile: number | null;
}

/** evaluation/unusual.py: Unusual.summary() */
export interface Unusual {
  word: string;
  share: number;
  psnr: number;
  usual_psnr: number;
  kl: number;
  usual_kl: number;
}

/** reconstruct.view_value(), and what of: the model and the picture's label. mean, sigma: for each channel its rows. */
export interface Reconstruction extends Figures {
  model: string | null;
  picture: string;
  example: string | null;
  original: string;
  image: string;
  compression: number;
  seed: number | null;
  mean: number[][][];
  mean_limit: number;
  mean_says: string;
  sigma: number[][][] | null;
  sigma_limit?: number;
  sigma_says: string;
  error: number[][][];
  error_limit: number;
  cleaned: string | null;
  undone: boolean;
  advice: { says: string; model: string | null } | null;
  unusual: Unusual | null;
}

/** compare.pane_value(). box: left, top, right, bottom of what the model saw, in the picture's pixels. */
export interface Compared extends Figures {
  original: string;
  image: string;
  box: [number, number, number, number];
  grey: boolean;
  cleaned: string | null;
  bits_per_pixel: number;
}

/** compare.answers() */
export interface ComparisonNews {
  ticket: string;
  key?: string;
  what?: string;
  share?: number | null;
  result?: Compared;
  error?: string;
  done?: boolean;
}

/** Figures of a model over a folder, of FolderMeasure: its row, and the figures of each image. shape: side, channels
 * and border of the images as it saw them. wanted: how many were to be measured, of so many. */
export interface Measured {
  row: {
    images: number;
    percentiles: Record<string, Record<string, number | null>>;
    [figure: string]: number | string | null | undefined | Record<string, Record<string, number | null>>;
  };
  images: { numbers: number[]; names: string[]; columns: Record<string, (number | null)[]> };
  shape: [number, number, number];
  wanted: number;
  of: number;
}

/** stress_view.answers(): one stage of a test. psnr: null where the image came back as it was. */
export interface Stage {
  label: string;
  at: number;
  image: string;
  width: number;
  psnr: number | null;
  ssim: number;
  delta_e: number;
  drift: number[];
  remark: string | null;
}

/** FolderMeasure.answers() and stress_view.answers() */
export interface BenchNews extends Partial<Measured> {
  ticket: string;
  model?: string;
  stages?: Stage[];
  what?: string;
  share?: number | null;
  error?: string;
  done?: boolean;
}

/** FolderSets, of which a sentence comes in place of what is refused. */
export interface BenchServer extends StopServer {
  names(): Promise<string[]>;
  picture(asked: { data: string; shape: number[]; number: number }): Promise<{ uri: string } | { error: string }>;
  thumbnails(asked: { data: string; shape: number[]; numbers: number[] }): Promise<Sprite | { error: string }>;
}

/** The models beside the first one, that a link asks for. */
export interface ComparisonLink {
  with: string[];
}

/** Images side by side in one PNG, of uploads.sprite(). */
export interface Sprite {
  sprite: string;
  n: number;
  columns: number;
  width: number;
  height: number;
}

/** sample.half(): one model's samples; or the sentence that says why there are none; or that they are still to come. */
export interface SampleHalf extends Partial<Sprite> {
  waiting?: boolean;
  model: string;
  variational: boolean;
  missing?: string;
  run?: string | null;
  says?: string;
  prior?: string;
  seconds?: number;
}

/** What a tab shows, as far as the address says it; null for what it cannot. */
export interface Shown {
  tab: string;
  model?: string | null;
  [key: string]: string | number | null | undefined;
}

/** The Sample tab's result. */
export interface Samples {
  waiting?: boolean;
  model: string;
  label: string | null;
  seed: number;
  temperature: number;
  steps: number | null; // where they were chosen
  prior: string;
  halves: SampleHalf[];
}

/** What the samples are drawn from; `learned`: the model's best fitted prior. */
export interface SampleChoice {
  classes?: string[];
  label?: string | null;
  prior?: string | null;
  learned?: string | null;
  linked?: boolean;
}

/** prior_texts.options() */
export interface PriorOption {
  prior: string;
  name: string;
  term: string;
  says: string;
}

/** chosen: the prior drawn from; wanted: the one that the visitor asked for, if any. */
export interface PriorValue {
  chosen: string | null;
  wanted: string | null;
  has?: string[];
  refused?: string | null;
  linked?: boolean;
}

/** not_generative.explanation() */
export interface NotGenerative {
  original: string;
  repainted: string;
  noise: string;
  width: number;
  std: number;
  sigma: number | null;
  alike: number;
}

/** One end of an interpolation; vae/ui/endpoints.py reads it. */
export type Endpoint =
  | { kind: "seed"; seed: number }
  | { kind: "file"; file: UploadedFile }
  | { kind: "inline"; uri: string; label: string }
  | { kind: "sample"; index: number; seed: number; uri: string; label: string }
  | { kind: "point"; z: string; uri: string; label: string };

export type InterpolationKind = "path" | "grid" | "loop";

/** interpolate.view_value() */
export interface Interpolation extends Sprite {
  model: string | null;
  kind: InterpolationKind;
  steps: number;
  labels: string[];
  links: (string | null)[];
  way: string;
  seconds: number;
  cleaned: string | null;
  undone: boolean;
}

/** The name of a projection, or two latent dimensions. */
export type MapName = string | [number, number];

/** A latent dimension of the bar chart and of the sliders, of serving/latent_maps.py. */
export interface LatentBar {
  dim: number;
  std: number;
  kl: number;
  active: boolean;
}

/** One model's space, of LatentMaps.opened(). labels: the class of each of the n points. */
export interface LatentSpace {
  name: string;
  variational: boolean;
  image_size: number;
  side: number;
  n: number;
  images: number;
  split: string;
  sheet: string;
  columns: number;
  steps: number;
  dims: number;
  first: number[];
  maps: string[];
  classes: string[] | null;
  labels: number[] | null;
  sliders: { dim: number; low: number; high: number; mean: number }[];
  bars: LatentBar[];
  active: number;
  kl: number;
}

/** A model whose latents were not measured yet, or whose measurement was refused. */
export interface Unmeasured {
  name: string;
  says: string;
  run: string | null;
  refused: boolean;
}

export interface LatentSpaces {
  model?: string | null;
  map?: string | null;
  spaces: LatentSpace[];
  unmeasured: Unmeasured | null;
}

/** The Gaussian that the prior is on a map. */
export interface MapPrior {
  centre: number[];
  spread: number[][];
}

/** LatentMaps.latent_space_map(); points: two float32 each, in base64. */
export interface LatentMapAnswer {
  error?: string;
  points: string;
  prior: MapPrior;
}

/** Images of a map that latent_sets.py reads: all of them, those of a class, or those of some points. */
export type ImageSet = null | { class: number } | { points: number[] };

/** LatentMaps.latent_space_look(). pictures: of all places asked for, in order; the others: of the last. */
export interface LatentLook {
  error?: string;
  z: string;
  place: [number, number];
  values: number[];
  nearest: number[];
  pictures: string[];
}

export interface LatentServer {
  latent_space_opened(asked: { model: string }): Promise<LatentSpaces>;
  latent_space_map(asked: { model: string; map: MapName }): Promise<LatentMapAnswer>;
  latent_space_sheet(asked: { model: string }): Promise<{ uri: string }>;
  latent_space_look(asked: object): Promise<LatentLook>;
}

/** Sketches.sketch_look() of serving/sketches.py; place: on the map of sketch_map(), nearest: the
 * class of the nearest picture; null without one. */
export interface SketchLook {
  original: string;
  image: string;
  width: number;
  height: number;
  psnr: number;
  ssim: number;
  seconds: number;
  place: [number, number] | null;
  nearest: string | null;
}

/** Sketches.sketch_map(). live: whether the model redraws while one draws. */
export interface SketchMap {
  live: boolean;
  points: string | null;
  labels: number[] | null;
  classes: string[] | null;
}

/** Empty where nothing is redrawn while one draws. */
export interface SketchServer {
  sketch_look?(asked: { model: string; uri: string }): Promise<SketchLook | { error: string }>;
  sketch_map?(asked: { model: string }): Promise<SketchMap | { error: string }>;
}

/** One of the runs of BetaRuns.beta_runs(). points: two float32 for each image, in base64. */
export interface BetaRun {
  beta: number;
  kl: number;
  psnr: number;
  points: string;
  centre: number[];
  reconstructions: string;
  samples: string;
}

/** serving/beta_runs.py. labels: the digit of each point; images as data URIs. */
export interface BetaRuns {
  seed: number;
  labels: number[];
  originals: string;
  runs: BetaRun[];
}

export interface BetaServer {
  beta_runs(asked: object): Promise<BetaRuns | { error: string }>;
}

/** A run in the list, of Watcher._entry(). mine: whether this browser may change it. */
export interface RunEntry {
  name: string;
  state: string;
  best: number | null;
  epoch: number;
  epochs: number;
  started: number | null;
  bundled?: boolean;
  mine?: boolean;
}

/** A row of metrics: step, loss, reconstruction, kl; an epoch's has the same three on validation data after them. */
export type MetricRow = { step: number } & { [field: string]: number | null };

/** The state of the run looked at; what is not known is left out. */
export interface RunState {
  state?: string;
  reason?: string;
  epoch?: number;
  epochs?: number;
  step?: number;
  steps?: number;
  images_per_second?: number;
  seconds_left?: number;
  skipped?: number;
}

/** A moment with previews: step, epoch, and which kinds there are as bits. */
export type PreviewMoment = { step: number } & { [field: string]: number };
export type PreviewWanted = [kind: string, step: number];

/** What is new of a run's curves; more: the names of its terms besides the usual three, with rows that have them. */
export interface CurveNews {
  rows: (number | null)[][];
  cursor: unknown;
  per_epoch: number | null;
  reset?: boolean;
  more?: string[];
}

/** Watcher.watch_run(). wait: milliseconds until the page should ask again. */
export interface RunNews {
  run: string | null;
  list: { version: number; changed: RunEntry[]; names?: string[] };
  host: boolean;
  wait: number;
  curves: Record<string, CurveNews>;
  state: RunState;
  previews: number[][];
  has_model: boolean;
  prior: PriorState | null;
}

/** A run's diffusion prior, of Watcher._prior(). drawable: whether it draws; the others: of its training, while that is
 * not finished. seen: the update after which it drew last. */
export interface PriorState {
  drawable: boolean;
  state?: string;
  reason?: string;
  step?: number;
  steps?: number;
  share?: number;
  seconds_left?: number;
  seen?: number;
}

/** What train.changer()'s function is asked for, and its answer. */
export interface RunChange {
  run?: string | null;
  do: "stop" | "continue" | "rename" | "delete" | "map" | "fit" | "prior" | "stop prior";
  epochs?: number;
  name?: string;
}
export interface RunChanged {
  run?: string | null;
  error?: string;
}

/** Of the component training: named rows, see named_row.js; and whether and how long trainings may run here. */
export interface TrainingOptions {
  training: boolean;
  max_epochs: number;
  row_fields: string[];
  preview_fields: string[];
}

export interface TrainingServer {
  watch_run(known: object): Promise<RunNews>;
  see_previews(asked: { run: string; wanted: PreviewWanted[] }): Promise<Record<string, string>>;
  curves_csv(names: string[]): Promise<string>;
  change_run(asked: RunChange & { token: string }): Promise<RunChanged>;
}

/** Previews.look() of training/training_data.py: some of the images as the model will see them. */
export interface DataLook extends Sprite {
  error?: string;
  says: string;
  skipped: number | null;
  remarks: string[];
  classes: string[];
  more: number;
  suggest: { preset: string; says: string; does: string } | null;
}

/** What the Train tab's controls say. */
export interface TrainingAsked {
  preset: string;
  data: string;
  settings: Record<string, unknown>;
}

export interface DataServer {
  look_at_data(asked: TrainingAsked): Promise<DataLook | { error: string; settings?: boolean }>;
}

export interface OutlookServer {
  foresee(asked: TrainingAsked): Promise<{ says?: string; error?: string }>;
}

/** latents/editing.py: ChannelEdit */
export interface ChannelEdit {
  source: number;
  scale: number;
  noise: number;
}

/** A latent as vae/ui/latent_editor.py shows it: float32 in base64; the height and width of its image. */
export interface TakenLatent {
  z: string;
  shape: [number, number, number];
  size: [number, number];
  name: string;
}

type SentLatent = Omit<TakenLatent, "name"> & { edits: ChannelEdit[]; seed: number };

/** What vae/ui/latent_editor.py is asked for. */
export type LatentWish =
  | { what: "take" }
  | { what: "open"; file: { path: string } }
  | ({ what: "decode" } & SentLatent)
  | ({ what: "keep"; format: string } & SentLatent);

/** latent_editor.answers() */
export interface LatentEditorNews {
  ticket: string;
  what?: string;
  share?: number | null;
  error?: string;
  result?: TakenLatent & { image?: string; height: number; width: number; file?: string };
}
