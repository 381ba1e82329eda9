/** A React part of a widget that is otherwise made by hand. */
import { ReactWidget } from '@jupyterlab/apputils';

export class ReactPart extends ReactWidget {
  constructor(private readonly draw: () => JSX.Element | null) {
    super();
  }

  protected override render(): JSX.Element | null {
    return this.draw();
  }
}
