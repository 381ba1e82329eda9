/** Drawing at most so often, and once more after the last change. */
import { IDisposable } from '@lumino/disposable';

export class Throttle implements IDisposable {
  constructor(
    private readonly action: () => void,
    private readonly interval: number // ms
  ) {}

  get isDisposed(): boolean {
    return this.disposed;
  }

  request(): void {
    if (this.disposed || this.timer) {
      return;
    }
    const wait = Math.max(0, this.last + this.interval - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.last = performance.now();
      this.action();
    }, wait);
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
  }

  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = -Infinity;
  private disposed = false;
}
